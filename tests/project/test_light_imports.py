"""What a fresh interpreter loads for `common` and for the producer: nothing heavy."""

import subprocess
import sys

import pytest

from tests.project.modules import MODULES, ROOT, inside

HEAVY = ("torch", "transformers", "accelerate", "gguf")


def modules_of(package):
    return [n for n in MODULES if inside(n, package) and not n.endswith("__main__")]


def loaded_after(code):
    """Top-level names of every module a fresh interpreter has after running `code`."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True, text=True, check=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


def test_the_report_sees_what_is_loaded():
    assert "celery" in loaded_after("import celery")


def test_all_of_common_but_its_sender_loads_neither_torch_nor_transformers_nor_celery():
    modules = set(modules_of("common")) - {"common.shard_sender"}
    loaded = loaded_after("\n".join(f"import {name}" for name in modules))
    assert "pyarrow" in loaded
    assert not loaded & {*HEAVY, "celery", "kombu", "producer", "worker", "datasets"}


def test_all_of_the_producer_loads_neither_torch_nor_transformers():
    loaded = loaded_after("\n".join(f"import {name}" for name in modules_of("producer")))
    assert "celery" in loaded
    assert not loaded & {*HEAVY, "worker"}


@pytest.mark.parametrize("module", ["producer.cli", "producer.options"])
def test_what_help_needs_loads_no_library_but_click(module):
    loaded = loaded_after(f"import {module}")
    assert "click" in loaded
    assert not loaded & {*HEAVY, "celery", "pyarrow", "datasets", "numpy", "redis", "rich"}


def test_the_hub_library_is_loaded_by_the_data_set_that_needs_it_alone():
    assert "datasets" not in loaded_after(
        "import producer.session, producer.publish\n"
        "from producer.datasets import open_dataset\n"
        "next(open_dataset('webqa_mini', None).samples())"
    )
    assert not loaded_after("import datasets") & set(HEAVY)


@pytest.mark.parametrize(
    "module", ["worker.model.tokenizer", "worker.model.model_place", "worker.engine.outputs"]
)
def test_tokenizers_and_what_an_engine_returns_are_loaded_without_torch(module):
    loaded = loaded_after(f"import sys; sys.modules['torch'] = None\nimport {module}")
    assert "transformers" in loaded
    assert not loaded & {"accelerate", "gguf", "celery", "pyarrow"}
