"""producer.datasets.registry: the example of the docs as a file and as an entry point."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import producer.datasets.builtin
from common.errors import UsageError
from producer.datasets import known_datasets, open_dataset
from producer.datasets.dataset import few_shot_from
from producer.prepare import prepare
from tests.common.storekit import all_files

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "datasets.md").read_text()
GROUP = "self_ensemble.datasets"


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    return text


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path, as an environment's site-packages is; modules are forgotten again."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def distribution(site):
    """Install a distribution: its metadata, and a module with its code."""

    def install(name, entry_points, module=None, code=""):
        metadata = site / f"{name.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in entry_points.items()]
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")
        if module:
            (site / f"{module}.py").write_text(code)
        importlib.invalidate_caches()

    return install


@pytest.fixture
def capitals(distribution):
    """The distribution of the docs."""
    project = tomllib.loads(block("toml"))["project"]
    distribution(project["name"], project["entry-points"][GROUP], "my_capitals", block("python"))


def paraphrases(dataset):
    return [sample.paraphrases for sample in dataset.samples()]


def test_the_example_of_the_docs_is_found_as_a_file_by_its_name(site, monkeypatch):
    (site / "capitals.py").write_text(block("python"))
    folders = [*producer.datasets.builtin.__path__, str(site)]
    monkeypatch.setattr(producer.datasets.builtin, "__path__", folders)
    assert "capitals" in known_datasets()
    dataset = open_dataset("capitals", None)
    assert paraphrases(dataset)[1] == (
        "what is the capital of Japan?", "which city is Japan's capital?",
        "Japan: name its capital.",
    )  # fmt: skip
    del sys.modules["producer.datasets.builtin.capitals"]


def test_the_example_of_the_docs_is_found_as_an_entry_point(capitals):
    assert "capitals" in known_datasets()
    assert len(paraphrases(open_dataset("capitals", None))) == 3


def test_runs_of_such_a_data_set_are_made_with_its_defaults(capitals, ask, store):
    request = ask(dataset="capitals", data=None, num_paraphrases=None)
    (run,) = prepare(request, store).runs
    assert (run.key.name, run.spec.num_samples) == ("avg-3", 3)
    assert run.read_samples([2])[0].uuid == "capital-of-Kenya"


def test_its_own_rows_are_read_from_a_file(capitals, ask, store, jsonl):
    rows = [{"country": "Peru", "answer": "Lima"}, {"country": "Chad", "answer": "N'Djamena"}]
    (run,) = prepare(ask(dataset="capitals", data=jsonl(rows)), store).runs
    assert run.read_samples([0])[0].paraphrases[0] == "what is the capital of Peru?"
    bad = ask(dataset="capitals", data=jsonl([{"answer": "Lima"}]), overwrite=True)
    with pytest.raises(UsageError, match=r"questions\.jsonl, row 1: column 'country' must be"):
        prepare(bad, store)


def test_nothing_of_others_is_imported_before_it_is_asked_for(distribution):
    distribution("loud", {"loud": "loud:open_dataset"}, "loud", "raise SystemExit('imported')")
    assert "loud" in known_datasets()
    assert open_dataset("webqa_mini", None).name == "webqa_mini"
    assert "loud" not in sys.modules


BROKEN = [
    ("raise RuntimeError('a\\nb')", "cannot be opened (RuntimeError: a)"),
    ("import no_such_module", "cannot be opened (ModuleNotFoundError: "),
    ("x = 1", "cannot be opened (AttributeError: "),
    ("open_dataset = 7", "cannot be opened (TypeError: "),
    ("def open_dataset(): return 'webqa'", "is no Dataset but str"),
    ("def open_dataset(): raise KeyError('x')", "cannot be opened (KeyError: 'x')"),
]


@pytest.mark.parametrize(("code", "reason"), BROKEN)
def test_a_broken_entry_point_is_one_sentence_with_its_distribution(
    distribution, ask, store, code, reason
):
    distribution("half-done", {"mine": "half_done:open_dataset"}, "half_done", code)
    with pytest.raises(UsageError) as refused:
        prepare(ask(dataset="mine", data=None), store)
    message = str(refused.value)
    assert message.startswith(f"--dataset mine of the distribution half-done {reason}")
    assert "'half_done:open_dataset'" in message
    assert "\n" not in message
    assert all_files(store) == []


def test_a_name_of_the_producers_own_is_refused_with_the_distribution(distribution):
    distribution("usurper", {"webqa_mini": "usurper:open_dataset"}, "usurper")
    with pytest.raises(UsageError, match=r"webqa_mini comes with the producer, .* usurper brings"):
        open_dataset("webqa_mini", None)
    assert open_dataset("webqa", None).name == "webqa"


def test_two_distributions_with_one_name_are_both_named(distribution):
    for name in ("first-one", "second-one"):
        distribution(name, {"mine": f"{name.replace('-', '_')}:open_dataset"})
    with pytest.raises(UsageError, match=r"first-one and .*second-one|second-one and .*first-one"):
        open_dataset("mine", None)


@pytest.mark.parametrize(
    "name", ["webqa", "webqa_mini", "myriadlama", "pararel", "graphquestions"]
)
def test_the_docs_tell_every_default_of_a_data_set(name):
    dataset = open_dataset(name, None)
    (line,) = re.findall(rf"^\| `{name}` \|.*$", DOCS, re.MULTILINE)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[3:5] == [f"`{dataset.default_layout}`", str(dataset.default_max_new_tokens)]
    selection = dataset.default_selection
    assert cells[5].strip("`") == (
        f"--num-manual {selection.num_manual} --num-auto {selection.num_auto}"
        if selection
        else f"--num-paraphrases {dataset.default_num_paraphrases}"
    )


def test_the_rows_shown_in_the_docs_are_read(tmp_path):
    shown = [line.strip() for line in DOCS.splitlines() if line.startswith('    {"')]
    assert len(shown) == 5
    files = [tmp_path / f"{number}.jsonl" for number in range(5)]
    for path, line in zip(files, shown, strict=True):
        path.write_text(line)
    example = open_dataset("myriadlama", None).example
    assert few_shot_from(files.pop(1), None, example)[0][1] == "tunnel"
    for name, path in zip(
        ["webqa", "myriadlama", "pararel", "graphquestions"], files, strict=True
    ):
        dataset = open_dataset(name, path)
        assert len(list(map(dataset.read, dataset.rows()))) == 1
