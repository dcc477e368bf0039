"""SimpleShot."""

from __future__ import annotations

from jaxmeta import tree
from jaxmeta.baselines.pretrained import Population, Pretrained, linear_head, population_context, pretraining
from jaxmeta.learners.protonet import protonet
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree


def simple_shot(
    encoder: Model, criterion: Criterion, *, num_features: int, num_classes: int, num_ways: int
) -> MetaLearner:
    """Pre-trains on all source classes; the class whose mean embedding is nearest, after centring and normalising.

    Embeddings lose the source's mean and are brought to length one ("CL2N"). The mean is `with_population`'s; without
    it nothing is subtracted.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, num_features].
      criterion: the loss of pre-training.
      num_features: the length of an embedding.
      num_classes: classes of the source.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are `Pretrained(encoder, classifier, population)`, and whose adapted is
      `protonet`'s.

    Raises:
      ValueError: if a number is too small.

    References:
      Wang et al., SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning, 2019, section 3.
    """
    init, loss = pretraining(encoder, linear_head(num_features), criterion, num_classes)

    def apply(params: Pretrained, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> Array:
        embeddings = encoder.apply(params.encoder, inputs, mask, context)
        if isinstance(params.population, Population):
            embeddings = embeddings - params.population.centre[None]
        return tree.direction(embeddings)

    def context(params: Pretrained, support: Batch) -> PyTree:
        return population_context(encoder, params, params.encoder, support)

    nearest = protonet(Model(init, apply, context), criterion, num_ways=num_ways)
    return MetaLearner(init, nearest.adapt, nearest.predict, loss)
