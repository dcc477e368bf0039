"""jaxmeta's side of `encoders.py`; the pictures are shared out over all devices of the process."""

import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from encoder_cases import EncoderCase, adapter, drawn, pictures
from serve import serve

from jaxmeta import encoders, provenance
from jaxmeta.encoders import efficientnet, layers, resnet, weights

jax.config.update("jax_default_matmul_precision", "highest")  # float32 on a GPU as well; nothing changes on CPU


def encoder_of(network: str) -> tuple[nn.Module, Any]:
    if network != "resnet18":
        return encoders.open(network)[1:3]
    names = weights.tensors(resnet.ResNet(resnet.Basic, (2, 2, 2, 2)), str)
    made = {name: drawn(name, weights.torch_shape(path[-1], shape)) for name, (path, shape) in names.items()}
    return resnet.build(weights.Checkpoint(pathlib.Path(network), made, {}))[1:3]


def prepare(case: EncoderCase, form: str):
    del form
    mesh = jax.make_mesh((jax.device_count(),), ("pictures",), axis_types=(jax.sharding.AxisType.Auto,))
    shared, split = (
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in ((), ("pictures",))
    )
    module, variables = encoder_of(case.network)
    found: dict[str, np.ndarray] = {}

    def note(next_call, args, kwargs, context):
        if isinstance(context.module, layers.Conv) and context.method_name == "__call__":
            name = "/".join(context.module.path)
            torch_name = efficientnet.torch_name if case.network == "efficientnet_lite0" else str
            own = torch_name(f"{weights.module_name(context.module.path)}.weight").removesuffix(".weight")
            found[name] = adapter(own, args[0].shape[-1], context.module.features)
        return next_call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(module.apply, variables, pictures(case))

    def adapted(adapters, variables, x):
        def beside(next_call, args, kwargs, context):
            y, layer = next_call(*args, **kwargs), context.module
            if not isinstance(layer, layers.Conv) or context.method_name != "__call__":
                return y
            x = args[0][:, :: layer.stride, :: layer.stride]
            return y + (x.reshape(-1, x.shape[-1]) @ adapters["/".join(layer.path)]).reshape(y.shape)

        with nn.intercept_methods(beside):
            return jnp.square(module.apply(variables, x)).mean()

    def forward(_, variables, x):
        return jnp.square(module.apply(variables, x)).mean(), jnp.zeros(())

    def gradient(adapters, variables, x):
        loss, slopes = jax.value_and_grad(adapted)(adapters, variables, x)
        return loss, jnp.sqrt(sum(jnp.square(each).sum() for each in jax.tree.leaves(slopes)))

    given = (*jax.device_put((found, variables), shared), jax.device_put(pictures(case), split))
    compiled = jax.jit({"forward": forward, "gradient": gradient}[case.what]).lower(*given).compile()

    def step() -> tuple[float, float]:
        loss, norm = jax.block_until_ready(compiled(*given))
        return float(loss), float(norm)

    return step, {}


def about() -> dict:
    return provenance.record()


if __name__ == "__main__":
    serve(prepare, about, EncoderCase)
