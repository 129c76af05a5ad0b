"""One word for one thing, and the word that the field has: those that were given up stay away."""

import re
from pathlib import Path

import pytest

from tests.project.modules import MODULES, ROOT, defined_types

FOLDERS = ("common", "producer", "worker", "benchmarks", "tests", "docs", "docker")
SUFFIXES = {".py", ".md", ".html", ".js", ".css", ".toml"}
FILES = [ROOT / "README.md", ROOT / "CHANGELOG.md"] + [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in SUFFIXES and path != Path(__file__)
]

GIVEN_UP = {
    "wording": "paraphrase",
    "cohort": "row group",
    "resident": "prefix cache",
    "cutter": "prefix splitter",
    "hand_out": "collect",
    "halt": "stop",
    "ledger": "run counters",
    "stand_ins": "fallback examples",
    "throw_away": "delete runs",
    "tokenis": "tokenize",
    "normalis": "normalize",
    "share_heads": "split shared prefixes",
    "seen_once": "deduplicate",
    "unshifted": "at own position",
    "headtree": "PrefixTree",
    "fusiongroup": "EnsembleBatch",
    "flexkernel": "FlexBackend",
    "sdpakernel": "SdpaBackend",
    "cascadekernel": "CascadeBackend",
    "piecerows": "QueryBlocks",
    "innerloops": "DecodeOps",
    "inputwriter": "SnapshotWriter",
    "follower": "dependent",
    "awaited_runs": "pending dependents",
    "cut_where_full": "split by budget",
    "answer_bisected": "Bisector",
    "refuse_other_than_frozen": "check fingerprint",
    "says_sampling": "overrides sampling",
    "enqueuerequest": "RunRequest",
}
"""The beginning of a word -> the word in its place."""

GIVEN_UP_TYPES = {
    "Asked", "Certificate", "Choice", "Cohort", "Cutter", "Generated", "HeadTree",
    "Inspected", "Kernel", "Ledger", "Loaded", "Location", "Mods", "Patience", "Piece", "Pieces",
    "Planned", "Prefilled", "Process", "Question", "Reading", "Resident", "Residents", "Runtime",
    "Sampling", "Single", "Source", "Stream", "View", "Way",
}  # fmt: skip
"""Words that have another use in prose, and name no class and no type alias any more."""

PATTERN = re.compile(rf"(?<![a-z])({'|'.join(GIVEN_UP)})", re.IGNORECASE)

ELSEWHERE = {
    "producer/datasets/readers/columns.py": {"wording"},  # A column that question files may have.
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_word_that_was_given_up_stays_away(path):
    name = path.relative_to(ROOT).as_posix()
    found = {match[1].lower() for match in PATTERN.finditer(path.read_text(encoding="utf-8"))}
    wrong = found - ELSEWHERE.get(name, set())
    assert not wrong, "; ".join(f"{word}: write {GIVEN_UP[word]}" for word in wrong)


@pytest.mark.parametrize("name", MODULES)
def test_a_type_name_that_was_given_up_stays_away(name):
    assert GIVEN_UP_TYPES & set(defined_types(MODULES[name])) == set()
