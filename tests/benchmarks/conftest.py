"""Fixtures of the benchmarks' tests: a tiny model that reads their long prompts, a command run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result


@pytest.fixture(scope="session")
def small_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model; its tokenizer has a token for every letter, so prompts are long."""
    folder = tmp_path_factory.mktemp("benchmarked") / "tiny"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 32768}))
    return str(folder)


@pytest.fixture(autouse=True)
def _without_compiling(_no_settings_from_outside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELF_ENSEMBLE_ATTENTION", "sdpa")


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a benchmark in this process; return its result."""

    def run_command(command: Any, *arguments: object) -> Result:
        return CliRunner().invoke(command, [str(a) for a in arguments])

    return run_command


@pytest.fixture
def document(run: Callable[..., Result]) -> Callable[..., dict[str, Any]]:
    """Run a benchmark; return the JSON document of its last line."""

    def document_of(command: Any, *arguments: object) -> dict[str, Any]:
        result = run(command, *arguments)
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout.splitlines()[-1])
        assert list(report) == ["claim", "command", "machine", "seeds", "rows", "ratios", "notes"]
        assert {"processor", "cores", "torch", "python"} <= set(report["machine"])
        assert len({tuple(row) for row in report["rows"]}) == 1
        return report

    return document_of
