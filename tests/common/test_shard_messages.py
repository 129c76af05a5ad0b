"""common.messages: row ranges, and how strict a message from a queue is read."""

import pytest
from pydantic import ValidationError

from common.messages import ShardMessage, ranges

RUN = "webqa/m/origin"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([0], [(0, 1)]),
        ([5, 6, 7], [(5, 8)]),
        ([0, 2, 4], [(0, 1), (2, 3), (4, 5)]),
        ([0, 1, 2, 7, 8, 11], [(0, 3), (7, 9), (11, 12)]),
    ],
)
def test_ranges_are_as_few_as_can_be_and_give_the_rows_back(rows, expected):
    assert ranges(rows) == expected
    if rows:
        assert ShardMessage.of([RUN], rows).row_numbers() == rows


def test_rows_named_twice_come_once_and_in_order():
    message = ShardMessage(runs=[RUN], rows=[(5, 8), (0, 2), (6, 9)])
    assert message.row_numbers() == [0, 1, 5, 6, 7, 8]


@pytest.mark.parametrize("rows", [(5, 5), (7, 3), (-1, 2), (0, 100_001)])
def test_a_range_that_is_empty_negative_or_too_long_is_refused(rows):
    with pytest.raises(ValidationError):
        ShardMessage(runs=[RUN], rows=[(0, 2), rows])


def test_a_message_survives_the_way_over_json():
    message = ShardMessage.of([RUN, "webqa/m/avg-5"], [3, 4, 9])
    assert message.model_dump(mode="json") == {
        "runs": [RUN, "webqa/m/avg-5"],
        "rows": [[3, 5], [9, 10]],
    }
    assert ShardMessage.model_validate_json(message.model_dump_json()) == message


@pytest.mark.parametrize(
    "text",
    [
        '{"runs": [], "rows": [[0, 1]]}',
        '{"runs": ["a/b/c"], "rows": []}',
        '{"runs": ["a/b/c"]}',
        '{"rows": [[0, 1]]}',
        '{"runs": "a/b/c", "rows": [[0, 1]]}',
        '{"runs": [7], "rows": [[0, 1]]}',
        '{"runs": ["a/b/c"], "rows": [[0]]}',
        '{"runs": ["a/b/c"], "rows": [[0, 1, 2]]}',
        '{"runs": ["a/b/c"], "rows": [["0", 1]]}',
        '{"runs": ["a/b/c"], "rows": [[0.0, 1]]}',
        '{"runs": ["a/b/c"], "rows": [[true, 1]]}',
        '{"runs": ["a/b/c"], "rows": [[0, 1]], "code": "import os"}',
        '["a/b/c", [[0, 1]]]',
        "null",
    ],
)
def test_anything_but_names_and_rows_is_refused(text):
    with pytest.raises(ValidationError):
        ShardMessage.model_validate_json(text)


def test_a_message_of_too_many_runs_is_refused():
    assert len(ShardMessage.of([RUN] * 16, [0]).runs) == 16
    with pytest.raises(ValidationError, match="runs"):
        ShardMessage.of([RUN] * 17, [0])
