"""Tasks shared out over the devices of a mesh: each computes its own, one collective joins the results.

On CPU as many devices as cores (JAX_NUM_CPU_DEVICES) want one thread more than devices: `jaxmeta.threads`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxmeta import checks, tree
from jaxmeta.types import Array, PyTree


def everywhere(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device holds as a whole."""
    return NamedSharding(_automatic(mesh), PartitionSpec())


def over_tasks(mesh: Mesh) -> NamedSharding:
    """The sharding of what has a leading task axis."""
    return NamedSharding(_automatic(mesh), PartitionSpec(mesh.axis_names))


def mean_over_tasks(
    function: Callable[[PyTree, PyTree, Array], PyTree], mesh: Mesh
) -> Callable[[PyTree, PyTree, Array], PyTree]:
    """Shares out a mean over tasks: (shared, episodes, keys) -> leaves without a task axis, the same on all devices."""

    def own(shared: PyTree, episodes: PyTree, keys: Array) -> PyTree:
        return jax.lax.pmean(function(shared, episodes, keys), mesh.axis_names)

    return _shared_out(own, mesh, PartitionSpec())


def gathered(
    function: Callable[[PyTree, PyTree, Array], PyTree], mesh: Mesh
) -> Callable[[PyTree, PyTree, Array], PyTree]:
    """Shares out what is computed for each task: (shared, episodes, keys) -> leaves [num_tasks, ...] on all devices."""

    def own(shared: PyTree, episodes: PyTree, keys: Array) -> PyTree:
        return jax.lax.all_gather(function(shared, episodes, keys), mesh.axis_names, tiled=True)

    return _shared_out(own, mesh, PartitionSpec())


def each_task(function: Callable[[PyTree, Array], PyTree], mesh: Mesh) -> Callable[[PyTree, Array], PyTree]:
    """Shares out what is made for each task: (shared, indices) -> leaves [num_tasks, ...], which stay where made."""
    return _shared_out(function, mesh, PartitionSpec(mesh.axis_names))


def own_tasks(num_tasks: int, mesh: Mesh | None) -> int:
    """How many of the tasks a device computes.

    Raises:
      ValueError: if the mesh's devices do not divide them.
    """
    if mesh is None:
        return num_tasks
    if num_tasks % mesh.size:
        checks.fail("mesh", f"a number of tasks that its {mesh.size} devices divide", num_tasks)
    return num_tasks // mesh.size


def smallest(number: int, mesh: Mesh | None) -> int:
    """The smallest number that a process of the mesh has, so that all of them go by the same one; below 2**51.

    Each of the processes must ask; of more than one, what is left over from 2**20 is dropped.
    """
    if mesh is None or len({device.process_index for device in mesh.devices.flat}) == 1:
        return number
    each = NamedSharding(_automatic(mesh), PartitionSpec(mesh.axis_names))
    numbers = jax.make_array_from_callback((mesh.size,), each, lambda _: np.array([number >> 20], np.int32))
    return int(jax.jit(jnp.min, out_shardings=everywhere(mesh))(numbers)) << 20


def _shared_out(function: Callable[..., PyTree], mesh: Mesh, results: PartitionSpec) -> Callable[..., PyTree]:
    def checked(shared: PyTree, *tasks: PyTree) -> PyTree:
        own_tasks(tree.leading_axis(tasks), mesh)
        over, specs = _automatic(mesh), (PartitionSpec(), *(PartitionSpec(mesh.axis_names) for _ in tasks))
        # Unchecked, since with the check on a custom_vjp raises and the gradient is summed over devices twice.
        return jax.shard_map(function, mesh=over, in_specs=specs, out_specs=results, check_vma=False)(shared, *tasks)

    return checked


def _automatic(mesh: Mesh) -> Mesh:
    """The mesh without shardings in types, which `jax.make_mesh` gives it and which arguments would have to match."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))


def most(num_tasks: int) -> Mesh | None:
    """A mesh of the most devices, as many of each process, that divide a number of tasks; None if that is one.

    If the processes do not divide it, each computes all tasks on devices of its own.
    """
    members = range(jax.process_count()) if num_tasks % jax.process_count() == 0 else [jax.process_index()]
    devices = [jax.local_devices(process_index=index) for index in members]
    sizes = range(1, min(map(len, devices)) + 1)
    largest = max(size for size in sizes if num_tasks % (size * len(devices)) == 0)
    chosen = [device for own in devices for device in own[:largest]]
    return None if len(chosen) == 1 else jax.make_mesh((len(chosen),), ("tasks",), devices=chosen)
