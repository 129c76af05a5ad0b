"""The shape of the whole tree: floors, names, sizes, docstrings, doctests, the README."""

import ast
import doctest
import importlib
import re
from collections import Counter, defaultdict
from graphlib import TopologicalSorter

import pytest

import producer.cli
from tests.project.modules import (
    FILES,
    MODULES,
    PACKAGES,
    ROOT,
    defined_types,
    imported,
    inside,
    own_imports,
    parsed,
)

FORBIDDEN = {
    "common": ["producer", "worker", "benchmarks", "torch", "transformers", "celery", "kombu"],
    "producer": ["worker", "benchmarks", "torch", "transformers", "celery", "kombu"],
    "worker": ["producer", "benchmarks"],
    "worker.engine": ["common.store", "common.planning", "common.run_counters", "pyarrow"],
    "worker.model": ["common.store", "common.planning", "common.run_counters", "pyarrow"],
}
"""Package -> what none of its modules may import, beside the floors above it."""

EXCEPTIONS = {
    # A picture shows the very tokens that the engine would read.
    "producer.mask.tokens": ["worker.model"],
    # One place puts shards on queues, for producers and workers alike.
    "common.shard_sender": ["celery", "kombu"],
}

FLOORS = {
    "common": [["common.planning"], ["common.store"], ["common.run", "common.schema"]],
    "producer": [
        ["producer.__main__"],
        ["producer.cli"],
        ["producer.commands"],
        ["producer.session"],
        ["producer.prepare"],
        ["producer.request"],
        ["producer.datasets"],
    ],
    "worker": [
        ["worker.tasks"],
        ["worker.app"],
        ["worker.main_process"],
        ["worker.executor", "worker.merge_process", "worker.merge_starter"],
        ["worker.merging"],
        ["worker.answering"],
        ["worker.manager", "worker.paraphrasing"],
        ["worker.bisect"],
        ["worker.engine.verification"],
        ["worker.engine.canary", "worker.engine.canary_outputs"],
        ["worker.engine.engine"],
        ["worker.engine.prefix_cache"],
        ["worker.engine.model_runner"],
        ["worker.engine"],
        ["worker.model"],
        ["worker.host"],
    ],
}
"""Package -> its floors, top first: a module imports nothing of a floor above its own."""

KNOW_CELERY = {
    f"worker.{name}"
    for name in (
        *("app", "tasks", "last_resort", "main_process.dead_letters", "main_process.own_faults"),
        *(f"main_process.{step}" for step in ("lease", "readiness", "presence", "idle", "health")),
        *("main_process.affinity", "main_process.pool", "main_process.unacked"),
    )
}


def floor_of(name: str, floors: list[list[str]]) -> int | None:
    return next((n for n, rooms in enumerate(floors) if any(inside(name, r) for r in rooms)), None)


def test_the_walk_below_finds_the_modules():
    assert {"common.run", "common.store", "producer.cli", "worker.engine.engine"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_nothing_that_its_package_must_not_know(name):
    forbidden = [lower for layer in FORBIDDEN if inside(name, layer) for lower in FORBIDDEN[layer]]
    allowed = EXCEPTIONS.get(name, [])
    wrong = [
        i
        for i in imported(MODULES[name])
        if any(inside(i, f) for f in forbidden) and not any(inside(i, a) for a in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", FLOORS)
def test_every_floor_has_a_module(package):
    rooms = [room for floor in FLOORS[package] for room in floor]
    assert [room for room in rooms if not any(inside(name, room) for name in MODULES)] == []


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    floors = FLOORS.get(name.partition(".")[0], [])
    own = floor_of(name, floors)
    higher = {i: floor_of(i, floors) for i in own_imports(MODULES[name])}
    wrong = [i for i, floor in higher.items() if None not in (own, floor) and floor < own]
    assert wrong == []


def test_no_modules_import_each_other():
    graph = {name: own_imports(path) - {name} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", [n for n in MODULES if inside(n, "worker")])
def test_celery_is_known_where_its_messages_and_steps_are(name):
    knows = any(inside(i, lib) for i in imported(MODULES[name]) for lib in ("celery", "kombu"))
    assert not knows or name in KNOW_CELERY


@pytest.mark.parametrize("name", ["get_text_config", "max_position_embeddings", "layer_types"])
def test_the_configs_of_models_are_read_in_one_module(name):
    """All others ask `worker.model.geometry`, or `config_facts` where there is no model yet."""
    reading = [
        module
        for module, path in MODULES.items()
        if inside(module, "worker") and not inside(module, "worker.model.families")
        for node in ast.walk(parsed(path))
        if is_reading(node, name)
    ]
    assert set(reading) == {"worker.model.config_facts"}


def is_reading(node, name):
    """Whether a node reads an attribute of a config by its name, or asks for it by `getattr`."""
    if isinstance(node, ast.Call):
        return any(isinstance(a, ast.Constant) and a.value == name for a in node.args)
    is_config = isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("config")
    return is_config and node.attr == name


def test_no_class_and_no_type_alias_has_the_name_of_another():
    places = defaultdict(list)
    for name, path in MODULES.items():
        for defined in set(defined_types(path)):
            places[defined].append(name)
    assert {defined: where for defined, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_files_of_a_package_have_one_stem(package):
    stems = Counter(path.stem for path in (ROOT / package).rglob("*.py"))
    assert [s for s, times in stems.items() if times > 1 and not s.startswith("__")] == []


def test_no_two_files_of_tests_have_one_stem():
    """pytest imports them by their stems."""
    stems = Counter(path.stem for path in (ROOT / "tests").rglob("*.py"))
    assert [s for s, times in stems.items() if times > 1 and s != "conftest"] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for(name):
    assert ast.get_docstring(parsed(MODULES[name]))


@pytest.mark.parametrize("name", MODULES)
def test_a_file_fits_into_a_head(name):
    text = MODULES[name].read_text()
    assert len(text.splitlines()) <= 300
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(parsed(MODULES[name]))
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
