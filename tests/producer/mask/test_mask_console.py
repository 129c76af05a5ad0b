"""producer.mask.console: the picture as characters, at any width, without colour."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from common.methods import METHODS
from producer.mask.console import Grid, fit, print_mask
from producer.mask.picture import pack
from tests.producer.mask.maskkit import make_picture, make_pieces, shared_picture

UPPER, LOWER = "▀█", "▄█"


def printed(picture, width=100, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    print_mask(picture, console)
    return console.file.getvalue()


def drawn(text, picture):
    """The mask read back from the characters of a picture with one token a cell, [T, T]."""
    rows, lengths = [], [span.stop - span.first for span in picture.spans]
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("── "))
    for span, length in zip(picture.spans, lengths, strict=True):
        assert lines[start].startswith(f"── {span.name} ")
        taken = (length + 1) // 2
        pairs = []
        for line in lines[start + 1 : start + 1 + taken]:
            cells = line[24:].ljust(sum(lengths) + len(lengths) - 1)
            borders = np.cumsum([n + 1 for n in lengths])[:-1] - 1
            kept = [c for n, c in enumerate(cells) if n not in borders]
            pairs += [[c in UPPER for c in kept], [c in LOWER for c in kept]]
        assert not any(any(row) for row in pairs[length:])
        rows += pairs[:length]
        start += 1 + taken
    return np.array(rows)


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if m.has_layout])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_one_token_a_cell_shows_every_pair_of_the_mask(method, layout):
    picture = make_picture(pack(make_pieces((5, 3, 8)), METHODS[method], layout, "aligned", 2))
    text = printed(picture)
    assert "1 cell = 1x1 tokens" in text
    assert np.array_equal(drawn(text, picture), picture.mask)


def test_without_colour_names_and_boundaries_are_there():
    text = printed(shared_picture((5, 13)))
    assert "\x1b" not in text
    header = next(line for line in text.splitlines() if line.strip().startswith("prefix │"))
    assert header[24:].split("│") == ["prefix ", "0    ", "paraphrase 1 ", "a"]
    for name in ("prefix", "paraphrase 0", "paraphrase 1", "answer cue"):
        rule = next(line for line in text.splitlines() if line.startswith(f"── {name} "))
        assert [len(part) for part in rule[24:].split("┼")] == [7, 5, 13, 2]


def test_the_rows_begin_with_their_slot_and_tokens():
    picture = make_picture(shared_picture((5, 3)).packed, tuple(f"w{n}" for n in range(17)))
    labels = [line[:24].split() for line in printed(picture).splitlines() if line[:4].strip()]
    assert ["0", "w0", "w1"] in labels
    assert ["6", "w6"] in labels
    assert ["15", "w15", "w16"] in labels


def test_what_is_earlier_but_not_seen_is_marked():
    text = printed(shared_picture((5, 3)))
    (row,) = [line for line in text.splitlines() if line.startswith("  12 ")]
    assert row[24:] == "███████│░░░░░│█▄ │"


def test_the_table_says_where_groups_stand_and_what_they_see():
    lines = printed(shared_picture((5, 3))).splitlines()
    (row,) = [line for line in lines if line.startswith("│ paraphrase 1 ")]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "paraphrase 1", "3", "12-14", "7-9", "prefix, paraphrase 1",
    ]  # fmt: skip
    assert any(re.search(r"│ answer cue .*│ all before +│", line) for line in lines)


@pytest.mark.parametrize("width", [40, 60, 83, 200])
def test_no_line_of_cells_is_wider_than_the_terminal(width):
    picture = shared_picture((61, 37, 53))
    text = printed(picture, width)
    scale = int(re.search(r"1 cell = (\d+)x\1 tokens", text)[1])
    assert scale == {40: 18, 60: 6, 83: 4, 200: 1}[width]
    rows = [line for line in text.splitlines() if set("▀▄█░┼") & set(line)]
    assert len(rows) > 8
    assert max(map(len, rows)) <= width


def test_a_cell_is_filled_if_any_pair_of_it_is_seen_and_stays_in_its_group():
    picture = shared_picture((5, 13))
    grid = Grid(picture, 3)
    assert [len(cells) for cells in grid.columns] == [3, 2, 5, 1]
    flat = [cell for cells in grid.columns for cell in cells]
    for q, rows in enumerate(flat):
        for k, columns in enumerate(flat):
            part = picture.mask[rows.start : rows.stop, columns.start : columns.stop]
            assert grid.seen[q, k] == part.any()
            assert grid.earlier[q, k] == (columns.start < rows.stop)


def test_the_finest_grid_that_fits_is_taken():
    picture = shared_picture((5, 13))
    assert [fit(picture, width).scale for width in (30, 29, 18, 17, 7)] == [1, 2, 2, 3, 13]
    assert fit(picture, 6) is None


def test_more_groups_than_columns_are_said_and_not_broken_over_lines():
    text = printed(shared_picture((1,) * 40), 60)
    assert "42 groups do not fit into 60 columns; --png FILE draws them" in " ".join(text.split())
    assert "█" not in text


def test_square_brackets_of_tokens_are_no_markup():
    labels = ("[red]", "[/]", *("x" for _ in range(15)))
    assert "[red] [/]" in printed(make_picture(shared_picture((5, 3)).packed, labels))


def test_with_colour_each_group_has_its_own():
    text = printed(shared_picture((5, 3)), force_terminal=True, color_system="truecolor")
    assert {"38;2;86;180;233", "38;2;0;114;178", "38;2;230;159;0", "38;2;204;121;167"} <= set(
        re.findall(r"38;2;\d+;\d+;\d+", text)
    )


def test_no_color_is_obeyed(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(shared_picture((5, 3)), force_terminal=True)
    assert "38;" not in text
    assert "paraphrase 1" in text
