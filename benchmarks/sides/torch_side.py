"""PyTorch's side of `meta_step.py`: the forms in which its users write a meta-step."""

from collections.abc import Callable

import torch
from cases import INNER_RATE, OUTER_RATE, Case, episodes, weights
from serve import serve
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


class Network(torch.nn.Module):
    """The case's network, with kernels in PyTorch's layout [out, in, ...]."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.is_mlp, self.names = case.network == "mlp", []
        for name, leaf in weights(case).items():
            order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(leaf.ndim, (0,))
            self.names.append(name.replace("/", "_"))
            value = torch.from_numpy(leaf.transpose(order).copy()).to(DEVICE)
            self.register_parameter(self.names[-1], torch.nn.Parameter(value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_mlp:
            return self.head(x.flatten(1))
        features = self.features(x)
        return self.head(features) if "Dense_0_kernel" in self.names else features

    def features(self, x: torch.Tensor) -> torch.Tensor:
        for layer in range(4):
            total = (-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1]
            x = F.pad(x, (total // 2, total - total // 2) * 2)  # "SAME" puts the odd row last
            x = F.conv2d(x, getattr(self, f"Conv_{layer}_kernel"), stride=2)
            scale, bias = getattr(self, f"Norm_{layer}_scale"), getattr(self, f"Norm_{layer}_bias")
            x = F.relu(F.batch_norm(x, None, None, scale, bias, True, eps=1e-5))
        return x.mean(dim=(2, 3)) if "Dense_0_kernel" in self.names else x.permute(0, 2, 3, 1).flatten(1)

    def head(self, x: torch.Tensor) -> torch.Tensor:
        dense = [name[: -len("_kernel")] for name in self.names if name.startswith("Dense") and name.endswith("kernel")]
        for layer, name in enumerate(dense):
            x = F.linear(x, getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias"))
            x = F.relu(x) if layer < len(dense) - 1 else x
        return x


def task_tensors(case: Case) -> list[torch.Tensor]:
    given = [torch.from_numpy(x).to(DEVICE) for x in episodes(case)]
    return [x.permute(0, 1, 4, 2, 3).contiguous() if x.ndim == 5 else x.long() for x in given]


def steps_of(case: Case, score: Callable[[dict], torch.Tensor], params: dict) -> tuple[dict, torch.Tensor]:
    """The inner steps as a loop, and their mean loss; the graph is kept where the learner differentiates through it."""
    losses = []
    for _ in range(case.steps):
        losses.append(score(params))
        found = torch.autograd.grad(losses[-1], list(params.values()), create_graph=case.learner in ("maml", "anil"))
        params = {name: params[name] - INNER_RATE * slope for name, slope in zip(params, found, strict=True)}
    return params, torch.stack([loss.detach() for loss in losses]).mean()


def adapted(case: Case, network: Network, theta: dict, x: torch.Tensor, y: torch.Tensor) -> tuple[dict, torch.Tensor]:
    """The adapted parameters and the steps' mean loss; ANIL's features of the support set are computed once."""
    if case.learner == "anil":
        features, head = network.features(x), {n: theta[n] for n in ("Dense_0_kernel", "Dense_0_bias")}
        head, loss = steps_of(case, lambda head: F.cross_entropy(F.linear(features, *head.values()), y), head)
        return theta | head, loss
    return steps_of(case, lambda params: F.cross_entropy(functional_call(network, params, (x,)), y), theta)


def loop(case: Case, network: Network):
    """One task after the other; `backward` adds up the gradients."""
    theta, data = dict(network.named_parameters()), task_tensors(case)
    count = len(data[0])

    def compute() -> torch.Tensor:
        total = 0.0
        for x, y, queries, targets in zip(*data, strict=True):
            if case.learner == "reptile":
                start = {n: p.detach().requires_grad_() for n, p in theta.items()}
                phi, reported = adapted(case, network, start, x, y)
                loss = sum(0.5 * (p - phi[n].detach()).square().sum() for n, p in theta.items())
            elif case.learner == "protonet":
                features = network(x)
                centres = torch.stack([features[y == way].mean(0) for way in range(case.ways)])
                distances = (network(queries)[:, None] - centres).square().sum(-1)
                loss = F.cross_entropy(-distances, targets)
            else:
                phi, _ = adapted(case, network, theta, x, y)
                loss = F.cross_entropy(functional_call(network, phi, (queries,)), targets)
            (loss / count).backward()
            # Reptile reports the loss of its inner steps.
            total = total + (reported if case.learner == "reptile" else loss.detach()) / count
        return total

    return compute


def by_vmap(case: Case, network: Network):
    """torch.func: all tasks side by side."""
    theta, data = dict(network.named_parameters()), task_tensors(case)

    def score(params: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(network, params, (x,)), y)

    def task_loss(params: dict, x, y, queries, targets) -> torch.Tensor:
        for _ in range(case.steps):
            found = grad(score)(params, x, y)
            params = {n: p - INNER_RATE * found[n] for n, p in params.items()}
        return score(params, queries, targets)

    def compute() -> torch.Tensor:
        loss = vmap(task_loss, (None, 0, 0, 0, 0))(theta, *data).mean()
        loss.backward()
        return loss.detach()

    return compute


def by_higher(case: Case, network: Network):
    import higher

    data, optimizer = task_tensors(case), torch.optim.SGD(network.parameters(), INNER_RATE)
    count = len(data[0])

    def compute() -> torch.Tensor:
        total = 0.0
        for x, y, queries, targets in zip(*data, strict=True):
            with higher.innerloop_ctx(network, optimizer, copy_initial_weights=False) as (functional, inner):
                for _ in range(case.steps):
                    inner.step(F.cross_entropy(functional(x), y))
                loss = F.cross_entropy(functional(queries), targets)
                (loss / count).backward()
            total = total + loss.detach() / count
        return total

    return compute


def by_torchopt(case: Case, network: Network):
    import torchopt

    data, optimizer = task_tensors(case), torchopt.MetaSGD(network, lr=INNER_RATE)
    count = len(data[0])

    def compute() -> torch.Tensor:
        total = 0.0
        start = torchopt.extract_state_dict(network, by="reference"), torchopt.extract_state_dict(optimizer)
        for x, y, queries, targets in zip(*data, strict=True):
            for _ in range(case.steps):
                optimizer.step(F.cross_entropy(network(x), y))
            loss = F.cross_entropy(network(queries), targets)
            (loss / count).backward()
            total = total + loss.detach() / count
            torchopt.recover_state_dict(network, start[0])
            torchopt.recover_state_dict(optimizer, start[1])
        return total

    return compute


def by_learn2learn(case: Case, network: Network):
    if DEVICE.type == "cpu":  # the operations that torchvision wants on import, and lacks beside torch's CPU build
        missing = torch.library.Library("torchvision", "DEF")
        for operation in ("nms", "qnms"):
            missing.define(f"{operation}(Tensor x) -> Tensor")
    from learn2learn.algorithms import MAML

    data, maml = task_tensors(case), MAML(network, lr=INNER_RATE, first_order=False)
    count = len(data[0])

    def compute() -> torch.Tensor:
        total = 0.0
        for x, y, queries, targets in zip(*data, strict=True):
            learner = maml.clone()
            for _ in range(case.steps):
                learner.adapt(F.cross_entropy(learner(x), y))
            loss = F.cross_entropy(learner(queries), targets)
            (loss / count).backward()
            total = total + loss.detach() / count
        return total

    return compute


FORMS = {
    "torch loop": loop,
    "torch.func vmap": by_vmap,
    "higher": by_higher,
    "torchopt": by_torchopt,
    "learn2learn": by_learn2learn,
}


def prepare(case: Case, form: str):
    network = Network(case)
    params = list(network.parameters())
    outer, compute = torch.optim.Adam(params, OUTER_RATE), FORMS[form](case, network)

    def step() -> tuple[float, float]:
        outer.zero_grad()
        loss = compute()
        norm = torch.stack([p.grad.square().sum() for p in params if p.grad is not None]).sum().sqrt()
        outer.step()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return loss.item(), norm.item()

    return step, {}


def about() -> dict:
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
    return {"device": device, "versions": {"torch": torch.__version__}}


if __name__ == "__main__":
    serve(prepare, about)
