"""jaxmeta's side of `sentences.py`."""

import jax
from sentence_cases import SentenceCase, answers, sentences
from serve import serve

from jaxmeta import encoders, provenance
from jaxmeta.encoders import texts

jax.config.update("jax_default_matmul_precision", "highest")  # float32 on a GPU as well; nothing changes on CPU


def prepare(case: SentenceCase, form: str):
    del form
    encoder, given = encoders.open_text("all_minilm_l6_v2"), sentences(case)

    def step() -> tuple[float, float]:
        return answers(texts.encoded(encoder, encoders.tokenize(encoder, given)))

    return step, {}


if __name__ == "__main__":
    serve(prepare, provenance.record, SentenceCase)
