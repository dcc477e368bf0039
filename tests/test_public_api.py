import importlib
import inspect
import pathlib
import re
import subprocess
import sys

import jaxmeta

PACKAGE = pathlib.Path(jaxmeta.__file__).parent


def test_names():
    assert set(jaxmeta.__all__) == {
        "Batch", "Episode", "MetaLearner", "MetaState", "MetaTrainer", "Model", "anil", "anp", "audit", "baselines",
        "boil", "cavia", "cnp", "context_policy", "control", "criteria", "cross_transformer", "datasets", "dkt",
        "e_maml", "encoders", "evaluate", "fomaml", "imaml", "in_context", "inner", "laplacian_shot",
        "learned_optimizer", "maml", "maml_plus_plus", "matching_net", "meta_sgd", "meta_trainer", "models",
        "named_protonet", "partial_maml", "ppo_trainer", "proto_maml", "protonet", "query_loss", "r2d2", "recipes",
        "relation_net", "reptile", "ridge_classifier", "runs", "statistics", "tasks", "tnp", "transfer",
        "trust_region_trainer", "tuned", "tuned_protonet",
    }  # fmt: skip
    for name in jaxmeta.__all__:
        assert getattr(jaxmeta, name).__doc__


def test_names_of_domains_and_floors():
    assert set(jaxmeta.tasks.__all__) >= {
        "augmented", "few_shot", "flip", "mixture", "pad_features", "shift", "standardize", "standardize_targets",
        "tabular", "tabular_regression", "variable",
    }  # fmt: skip
    assert set(jaxmeta.datasets.__all__) >= {"Table", "load", "load_inputs", "load_table", "read_table"}
    assert set(jaxmeta.baselines.__all__) >= {"logistic_regression", "ridge_regression", "support_moments"}
    for module in (jaxmeta.tasks, jaxmeta.datasets, jaxmeta.baselines):
        assert all(getattr(module, name).__doc__ for name in module.__all__)


def test_names_of_statistics():
    assert set(jaxmeta.statistics.__all__) == {
        "Friedman", "Interval", "Nemenyi", "Paired", "SeedSpread", "average_ranks", "bootstrap_interval",
        "crossed_seeds", "friedman", "holm", "mean_interval", "nemenyi", "nested_seeds", "paired",
    }  # fmt: skip
    assert all(getattr(jaxmeta.statistics, name).__doc__ for name in jaxmeta.statistics.__all__)


def test_names_that_texts_mention_exist():
    parts = "|".join(sorted(path.stem for path in PACKAGE.iterdir() if path.stem.isidentifier()))
    mentioned = re.compile(rf"\bjaxmeta((?:\.[A-Za-z_]\w*)+)|`((?:{parts})(?:\.[A-Za-z_]\w*)+)[`(]")
    documents = [PACKAGE.parent / "README.md", *PACKAGE.parent.glob("[be]*/README.md"), *PACKAGE.rglob("README.md")]
    texts = [*PACKAGE.rglob("*.py"), *documents]
    found = {(match[1] or f".{match[2]}") for text in texts for match in mentioned.finditer(text.read_text("utf-8"))}
    assert {".auditing.PROMISES", ".training.fastest_chunk", ".models.Norm"} <= found
    for name in sorted(found):
        thing, path = jaxmeta, "jaxmeta"
        for part in name.split(".")[1:]:
            path = f"{path}.{part}"
            thing = getattr(thing, part) if hasattr(thing, part) else importlib.import_module(path)


def test_names_of_recipes_and_runs():
    assert set(jaxmeta.recipes.__all__) >= {"ENTRIES", "KINDS", "PRESETS", "Recipe", "domains", "get", "oracles"}
    assert set(jaxmeta.runs.__all__) >= {
        "Adapted", "DivergedError", "Event", "Fitted", "Run", "Stopped", "Training", "fit", "fit_together", "in_folder",
        "load_adapted", "open", "save_adapted", "train",
    }  # fmt: skip
    for module in (jaxmeta.recipes, jaxmeta.runs):
        named = [getattr(module, name) for name in module.__all__]
        assert all(each.__doc__ for each in named if inspect.isfunction(each) or inspect.isclass(each))


def test_import_is_light():
    heavy = ["tensorflow_datasets", "tyro", "matplotlib", "sklearn", "orbax", "PIL", "tqdm", "scipy.stats"]
    code = f"""import jax, flax, optax, chex, sys
before = set(sys.modules)
import jaxmeta
print([name for name in {heavy} if name in set(sys.modules) - before])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
