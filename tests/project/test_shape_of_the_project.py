"""The shape of the whole tree: layers, sizes, docstrings, doctests, the README."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

import producer.cli

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "producer", "worker", "benchmarks")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

LAYERS = {
    "common": ["producer", "worker", "benchmarks", "torch", "transformers", "celery", "kombu"],
    "producer": ["worker", "benchmarks", "torch", "transformers"],
    "worker": ["producer", "benchmarks"],
    "worker.engine": [
        "worker.tasks", "worker.app", "worker.manager", "worker.shards", "common.store",
        "common.run_counters", "celery", "redis", "pyarrow",
    ],
}  # fmt: skip

EXCEPTIONS = {
    # A picture shows the very tokens that the engine would read.
    "producer.mask.tokens": ["worker.model.tokenizer", "worker.model.loader"],
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imported(path):
    """Every module that a file may import: `from a import b` may be a or a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its layer"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def inside(name, package):
    return name == package or name.startswith(f"{package}.")


def test_the_walk_below_finds_the_modules():
    assert {"common.run", "common.store", "producer.cli", "worker.engine.masks"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    forbidden = [lower for layer in LAYERS if inside(name, layer) for lower in LAYERS[layer]]
    allowed = EXCEPTIONS.get(name, [])
    wrong = [
        i
        for i in imported(MODULES[name])
        if any(inside(i, f) for f in forbidden) and not any(inside(i, a) for a in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for(name):
    assert ast.get_docstring(ast.parse(MODULES[name].read_text()))


@pytest.mark.parametrize("name", MODULES)
def test_a_file_fits_into_a_head(name):
    text = MODULES[name].read_text()
    assert len(text.splitlines()) <= 300
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions) and node.end_lineno - node.lineno >= 60
    }
    assert long == {}


def test_no_module_is_named_after_nothing():
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [path for path in FILES if path.stem in vague] == []


@pytest.mark.parametrize("command", producer.cli.cli.commands)
def test_the_readme_mentions_every_command(command):
    assert re.search(rf"producer {command}\b", (ROOT / "README.md").read_text())


LIGHT = [n for n in MODULES if not inside(n, "worker") and not inside(n, "benchmarks")]
IMPORTABLE = [n for n in LIGHT if not n.endswith("__main__")]


@pytest.mark.parametrize("name", IMPORTABLE)
def test_the_examples_in_docstrings_are_true(name):
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module)
    assert failures == 0
