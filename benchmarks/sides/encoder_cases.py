"""What both sides of `encoders.py` compute: cases, pictures, weights and adapters, from NumPy alone."""

import zlib
from typing import NamedTuple

import numpy as np

PICTURES = 32


class EncoderCase(NamedTuple):
    network: str
    side: int
    what: str

    @property
    def name(self) -> str:
        return f"{self.network} {self.side}x{self.side} {self.what}"


NETWORKS = ("efficientnet_lite0", "resnet18")
CASES = [EncoderCase(*case) for case in (
    (network, side, what) for network in NETWORKS for side in (128, 224) for what in ("forward", "gradient")
)]  # fmt: skip


def pictures(case: EncoderCase) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(PICTURES, case.side, case.side, 3)).astype(np.float32)


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of ResNet-18, whose trained weights are in no package, by torch's name and shape."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if len(shape) > 1:
        return noise / np.sqrt(np.prod(shape[1:]), dtype=np.float32)
    return 0.1 * np.abs(noise) + (0 if name.endswith(("bias", "running_mean")) else 0.8)


def adapter(name: str, inputs: int, outputs: int) -> np.ndarray:
    """[inputs, outputs], beside the dense convolution of that name in torch."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal((inputs, outputs), np.float32)
    return 0.1 * noise / np.sqrt(inputs, dtype=np.float32)
