"""Weights and pictures that NumPy makes from names and shapes, so that they need not be kept; no torch in here."""

import zlib

import numpy as np

# What the golden ViTs are: timm's arguments, and the sides of the pictures.
VIT = {"patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 2, "img_size": 32}
VITS = {
    "vit_timm": [(32, 32), (48, 40), (24, 24)],
    "vit_timm_registers": [(32, 32), (48, 40)],
    "vit_dinov2": [(32, 32), (48, 40), (24, 24)],
    "vit_dinov2_registers": [(32, 32), (48, 40)],
}
RESNETS = {"resnet18": [(64, 64), (45, 71)], "resnet50": [(64, 64)]}
LITE0 = [(64, 64), (96, 64)]


def pictures(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).uniform(size=(2, height, width, 3)).astype(np.float32)


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One of a network whose activations neither vanish nor grow."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if name.endswith("running_var"):
        return 0.5 + np.abs(noise)
    if name.endswith("gamma"):
        return 0.5 + 0.1 * noise
    if name.endswith(("bias", "running_mean", "token", "tokens", "embed")):
        return 0.2 * noise
    if len(shape) == 1:
        return 0.7 + 0.1 * noise
    return noise / np.sqrt(np.prod(shape[1:]), dtype=np.float32)


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: tensor(name, tuple(shape)) for name, shape in shapes.items()}


def saved() -> dict[str, np.ndarray]:
    """The numbers of tensors_zip.pth and tensors_legacy.pth."""
    return {
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3),
        "part": np.arange(4, 10, dtype=np.float32).reshape(2, 3),
        "half": np.array([0.5, -2], np.float16),
        "double": np.array([[0.25]]),
        "brain": np.array([1, -1.5, 3.140625], np.float32),
        "parameter": np.array([7, 8], np.float32),
        "long": np.array(2**40),
        "empty": np.zeros((0, 3), np.float32),
    }


# Of texts: config.json of two small models, and the sentences that the packaged and the multilingual one are given.
TINY = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 40, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 1,
}  # fmt: skip
BERTS = {"bert": {**TINY, "model_type": "bert"}, "xlm-roberta": {**TINY, "model_type": "xlm-roberta"}}
SENTENCES = (
    "My card has not arrived yet.",
    "Wow",
    "İstanbul'a ne zaman varacağız?",
    "Wie spät ist es jetzt in Zürich, bitte?",
    "今天天气怎么样？",
    "a rather long sentence of many words, " * 12,
)


def tokens() -> tuple[np.ndarray, np.ndarray]:
    """Ids [3, 12] of the small models, and how many of each row are real."""
    counts = np.array([12, 7, 3])
    ids = np.random.default_rng(5).integers(5, 50, (3, 12))
    return np.where(np.arange(12) < counts[:, None], ids, TINY["pad_token_id"]), counts
