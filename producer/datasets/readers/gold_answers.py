"""Gold answers in the forms that published data sets use."""

from typing import Any

FORMS = (
    "a list of texts that are not empty, or one text, a number, "
    'SQuAD\'s {"text": [...]}, TriviaQA\'s {"value": ..., "aliases": [...]}'
)


def gold_answers(cell: Any) -> list[Any] | None:
    """The answers in a cell, unchecked; None for a cell of another form.

    >>> gold_answers({"text": ["x", "y"], "answer_start": [3, 8]})
    ['x', 'y']
    >>> gold_answers({"value": "x", "aliases": ["X", "x"], "type": "WikipediaEntity"})
    ['x', 'X']
    >>> gold_answers([{"text": "x", "answer_start": 3}]), gold_answers(7), gold_answers({"a": 1})
    (['x'], [7], None)
    """
    if isinstance(cell, list):
        return [a["text"] if isinstance(a, dict) and "text" in a else a for a in cell]
    if not isinstance(cell, dict):
        return None if cell is None else [cell]
    if "text" in cell:
        return cell["text"] if isinstance(cell["text"], list) else [cell["text"]]
    aliases = cell.get("aliases") or []
    if "value" not in cell or not isinstance(aliases, list):
        return None
    return [cell["value"], *(alias for alias in aliases if alias != cell["value"])]
