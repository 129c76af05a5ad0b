"""The samples as the page's script reads them: JSON that may stand inside HTML."""

import json
from typing import Any

from producer.report.document import Document, SampleRow


def sample_data(document: Document) -> str:
    """`{"runs": [key, ...], "pairs": [[row, ...], ...], "rows": [...]}`.

    In a row `predictions`, `correct` and `errors` are lists in the order of `runs`, with null
    for none: the keys of runs, a thousand times over, would be most of the page. `pairs` are
    the rows that flip, in the order of the comparisons. `<` is written \\u003c, so no text can
    end the element that holds the data.
    """
    runs = [run.run for run in document.runs]
    numbers = {sample.uuid: number for number, sample in enumerate(document.samples)}
    data = {
        "runs": runs,
        "pairs": [
            [numbers[uuid] for uuid in comparison.flips if uuid in numbers]
            for comparison in document.comparisons
        ],
        "rows": [_row(sample, runs) for sample in document.samples],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _row(sample: SampleRow, runs: list[str]) -> dict[str, Any]:
    row = sample.model_dump(mode="json")
    for field in ("predictions", "correct", "errors"):
        row[field] = [row[field].get(run) for run in runs]
    return row
