"""Golden numbers for MAML, first-order MAML and Meta-SGD from two PyTorch implementations that know nothing of ours.

Claim:    jaxmeta's losses, adapted parameters and meta-gradients are those of independent code to 10 digits.
Makes:    tests/learners/golden.json, which tests/learners/test_golden.py compares with, without PyTorch.
Command:  python -m venv golden && golden/bin/pip install -r benchmarks/requirements.txt
          golden/bin/python benchmarks/golden.py

One implementation is a loop that keeps the graph (`torch.autograd.grad(..., create_graph=True)`), the other is made of
`torch.func.grad`; both must agree to 12 digits before anything is written. Two networks in double precision: a 2-5-3
perceptron with tanh, and the four-block convolutional network (stride 2, padding "SAME", moments of the batch) on 8 x 8
pictures. Parameters and data are fractions with denominator 101 that any machine computes to the last bit.
"""

import json
import pathlib
from collections.abc import Callable

import numpy as np
import torch
from torch.func import functional_call, grad
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
OUTPUT = pathlib.Path(__file__).parents[1] / "tests" / "learners" / "golden.json"
RATE, STEPS, CHANNELS, WAYS = 0.3, 3, 3, 3

Params = dict[str, torch.Tensor]


def fractions(shape: tuple[int, ...], offset: int) -> torch.Tensor:
    """Numbers in (-1, 1): the same formula stands in the test."""
    count = int(np.prod(shape))
    return torch.tensor(((np.arange(count) * 37 + offset * 17) % 101 / 50.5 - 1).reshape(shape))


class Perceptron(torch.nn.Module):
    """Flax's layout: a kernel is [inputs, outputs]."""

    def __init__(self) -> None:
        super().__init__()
        for layer, (rows, columns) in enumerate([(2, 5), (5, WAYS)]):
            self.register_parameter(f"Dense_{layer}/kernel", torch.nn.Parameter(torch.empty(rows, columns)))
            self.register_parameter(f"Dense_{layer}/bias", torch.nn.Parameter(torch.empty(columns)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = dict(self.named_parameters())
        x = torch.tanh(x @ own["Dense_0/kernel"] + own["Dense_0/bias"])
        return x @ own["Dense_1/kernel"] + own["Dense_1/bias"]


class Convolutions(torch.nn.Module):
    """Kernels are [3, 3, inputs, outputs], pictures [n, height, width, channels]."""

    def __init__(self) -> None:
        super().__init__()
        for layer in range(4):
            shape = (3, 3, 1 if layer == 0 else CHANNELS, CHANNELS)
            self.register_parameter(f"Conv_{layer}/kernel", torch.nn.Parameter(torch.empty(shape)))
            self.register_parameter(f"Norm_{layer}/scale", torch.nn.Parameter(torch.empty(CHANNELS)))
            self.register_parameter(f"Norm_{layer}/bias", torch.nn.Parameter(torch.empty(CHANNELS)))
        self.register_parameter("Dense_0/kernel", torch.nn.Parameter(torch.empty(CHANNELS, WAYS)))
        self.register_parameter("Dense_0/bias", torch.nn.Parameter(torch.empty(WAYS)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = dict(self.named_parameters())
        x = x.permute(0, 3, 1, 2)
        for layer in range(4):
            size = x.shape[-1]
            total = (-(-size // 2) - 1) * 2 + 3 - size
            x = F.pad(x, (total // 2, total - total // 2) * 2)  # "SAME" puts the odd row last
            x = F.conv2d(x, own[f"Conv_{layer}/kernel"].permute(3, 2, 0, 1), stride=2)
            x = F.batch_norm(x, None, None, own[f"Norm_{layer}/scale"], own[f"Norm_{layer}/bias"], True, eps=1e-5)
            x = F.relu(x)
        return x.mean(dim=(2, 3)) @ own["Dense_0/kernel"] + own["Dense_0/bias"]


def start(network: torch.nn.Module) -> Params:
    """Leaf i, in the order of the names, is fractions(shape, i); scales are around one."""
    named = sorted(dict(network.named_parameters()).items())
    return {
        name: fractions(tuple(leaf.shape), index) + name.endswith("scale") * 1.0
        for index, (name, leaf) in enumerate(named)
    }


def data(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Support inputs [6, ...] and labels, query inputs [9, ...] and labels."""
    labels = torch.arange(15) % WAYS
    return fractions((6, *shape), 50), labels[:6], fractions((9, *shape), 60), labels[6:]


def by_loop(network: torch.nn.Module, shape: tuple[int, ...], first_order: bool, learn_rates: bool) -> dict:
    """A loop that builds the graph of every step."""
    x, y, queries, targets = data(shape)
    theta = {name: leaf.requires_grad_() for name, leaf in start(network).items()}
    rates = {name: rate_of(name, leaf, learn_rates).requires_grad_() for name, leaf in theta.items()}
    phi = theta
    for _ in range(STEPS):
        loss = F.cross_entropy(functional_call(network, phi, (x,)), y)
        slopes = torch.autograd.grad(loss, list(phi.values()), create_graph=not first_order)
        phi = {name: phi[name] - rates[name] * slope for name, slope in zip(phi, slopes, strict=True)}
    loss = F.cross_entropy(functional_call(network, phi, (queries,)), targets)
    wanted = [*theta.values(), *(rates.values() if learn_rates else ())]
    names = [*(f"params/{n}" for n in theta), *(f"learning_rates/{n}" for n in rates)]
    gradient = torch.autograd.grad(loss, wanted)
    return report(loss, dict(zip(names, gradient, strict=False)), phi)


def by_transforms(network: torch.nn.Module, shape: tuple[int, ...], first_order: bool, learn_rates: bool) -> dict:
    """Functions of functions, nothing kept."""
    x, y, queries, targets = data(shape)
    theta = start(network)
    rates = {name: rate_of(name, leaf, learn_rates) for name, leaf in theta.items()}

    def score(params: Params, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = functional_call(network, params, (inputs,))
        return torch.logsumexp(logits, 1).sub(logits.gather(1, labels[:, None])[:, 0]).mean()

    def adapt(params: Params, rates: Params) -> Params:
        for _ in range(STEPS):
            slopes = grad(score)(params, x, y)
            if first_order:
                slopes = {name: slope.detach() for name, slope in slopes.items()}
            params = {name: params[name] - rates[name] * slopes[name] for name in params}
        return params

    def meta_loss(params: Params, rates: Params) -> torch.Tensor:
        return score(adapt(params, rates), queries, targets)

    to_params, to_rates = grad(meta_loss, argnums=(0, 1))(theta, rates)
    gradient = {f"params/{name}": leaf for name, leaf in to_params.items()}
    if learn_rates:
        gradient |= {f"learning_rates/{name}": leaf for name, leaf in to_rates.items()}
    return report(meta_loss(theta, rates), gradient, adapt(theta, rates))


def rate_of(name: str, leaf: torch.Tensor, learned: bool) -> torch.Tensor:
    """Meta-SGD's rates are of both signs."""
    return RATE * (1 + fractions(tuple(leaf.shape), 80 + len(name)) * 1.2) if learned else torch.full_like(leaf, RATE)


def report(loss: torch.Tensor, gradient: Params, adapted: Params) -> dict:
    """Everything as numbers."""
    flat = lambda leaves: {name: leaf.detach().flatten().tolist() for name, leaf in sorted(leaves.items())}  # noqa: E731
    norm = torch.sqrt(sum(leaf.square().sum() for leaf in gradient.values()))
    return {"loss": loss.item(), "gradient_norm": norm.item(), "gradient": flat(gradient), "adapted": flat(adapted)}


def assert_close(one: object, other: object) -> None:
    """The two implementations agree."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            assert_close(one[key], other[key])
    else:
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def main() -> None:
    networks: dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...]]] = {
        "perceptron": (Perceptron, (2,)),
        "convolutions": (Convolutions, (8, 8, 1)),
    }
    # First order and learned rates of each learner.
    learners = {"maml": (False, False), "fomaml": (True, False), "meta_sgd": (False, True)}
    content: dict = {"torch": torch.__version__.split("+")[0], "rate": RATE, "num_steps": STEPS}
    for network_name, (make, shape) in networks.items():
        for name, options in learners.items():
            if network_name == "convolutions" and name != "maml":
                continue
            one, other = by_loop(make(), shape, *options), by_transforms(make(), shape, *options)
            assert_close(one, other)
            content.setdefault(name, {})[network_name] = one
            print(f"{name} of {network_name}: loss {one['loss']:.12f}, gradient {one['gradient_norm']:.12f}")
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    OUTPUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
