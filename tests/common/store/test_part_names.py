"""common.store.part_names: what the name of a part tells, and what is no name of a part."""

from dataclasses import replace

import pytest

from common.store.part_names import PartName

GENERATION = "9a8b7c6d5e4f"
NAME = PartName.of([3, 4, 9], 1, 2, GENERATION)


@pytest.mark.parametrize("rows", [[0], [0, 1, 5], [7, 8], list(range(1000, 1064)), [10**9]])
def test_a_name_read_back_from_a_path_is_the_name(rows):
    name = PartName.of(rows, 1, 3, GENERATION)
    assert PartName.parse(f"a/b/c/parts/{name}") == name
    assert (name.first, name.last, name.num_rows) == (rows[0], rows[-1], len(rows))


def test_names_tell_apart_rows_of_the_same_range_and_runs_of_the_same_rows():
    names = {str(PartName.of(rows, 0, 1, GENERATION)) for rows in ([0, 1, 5], [0, 2, 5])}
    assert len(names | {str(PartName.of([0, 1, 5], 0, 1, GENERATION[::-1]))}) == 3


@pytest.mark.parametrize("changed", ["num_failed", "attempt"])
def test_names_tell_apart_other_results_of_the_same_rows(changed):
    assert str(replace(NAME, **{changed: 7})) != str(NAME)


def test_names_sort_as_their_rows_do():
    names = [str(PartName.of([first], 0, 1, GENERATION)) for first in (0, 9, 10, 99, 100, 12345)]
    assert names == sorted(names)


@pytest.mark.parametrize(("rows", "every"), [([4], True), ([4, 5, 6], True), ([4, 6], False)])
def test_a_name_tells_its_rows_only_if_it_has_every_one(rows, every):
    assert PartName.of(rows, 0, 1, GENERATION).has_every_row is every


@pytest.mark.parametrize(
    "path",
    ["", "input.arrow", f"{NAME}.0123456789ab.tmp", f"x{NAME}", str(NAME).replace("-n3", "")],
)
def test_any_other_file_is_no_part(path):
    assert PartName.parse(path) is None
