"""The wheel has every package: an editable install finds modules that pyproject.toml forgot."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.project.modules import INSTALLED, MODULES, ROOT, inside

NAMES = [name for name in MODULES if any(inside(name, package) for package in INSTALLED)]

IMPORT_ALL = """
import importlib, sys
from pathlib import Path
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(sys.argv[1]), f"{name}: {module.__file__}"
"""


def run(*command: object, cwd: Path) -> None:
    """Run a command in an environment that shows it no other copy of the project."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel, beside what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in INSTALLED:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    fresh = folder / "venv"
    venv.create(fresh)
    python = fresh / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    run(*pip, "--python", python, "install", "--no-deps", wheel, cwd=folder)
    # Dependencies are not installed a second time. A .pth file in a folder that is named here is
    # not read, so the editable install of the project stays unknown.
    (site,) = fresh.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return fresh


def test_every_module_of_the_wheel_can_be_imported(environment, tmp_path):
    names = [name for name in NAMES if not name.endswith("__main__")]
    run(environment / "bin" / "python", "-c", IMPORT_ALL, environment, *names, cwd=tmp_path)


def test_the_wheel_has_the_command_and_its_data(environment, tmp_path):
    run(environment / "bin" / "producer", "--help", cwd=tmp_path)
    run(
        environment / "bin" / "producer", "mask", "--dataset", "webqa_mini", "--method", "avg",
        cwd=tmp_path,
    )  # fmt: skip
