import subprocess
import sys

import jaxmeta


def test_names():
    assert set(jaxmeta.__all__) == {
        "Batch", "Episode", "MetaLearner", "MetaState", "MetaTrainer", "Model", "baselines", "criteria", "datasets",
        "evaluate", "fomaml", "inner", "maml", "meta_trainer", "models", "protonet", "query_loss", "statistics",
        "tasks",
    }  # fmt: skip
    for name in jaxmeta.__all__:
        assert getattr(jaxmeta, name).__doc__


def test_import_is_light():
    heavy = ["tensorflow_datasets", "tyro", "matplotlib", "sklearn", "orbax", "PIL", "tqdm", "scipy.stats"]
    code = f"""import jax, flax, optax, chex, sys
before = set(sys.modules)
import jaxmeta
print([name for name in {heavy} if name in set(sys.modules) - before])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
