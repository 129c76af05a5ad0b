"""producer.prepare.prepare: memory does not grow with the number of questions."""

import tracemalloc

from common.prompts import QUESTION_ANSWERING
from common.store import StoreFilesystem
from producer.datasets.dataset import Dataset
from producer.datasets.readers.rows import number_rows
from producer.prepare import prepare

FEW, MANY = 2_000, 20_000
TEXT = "and so on and on " * 30  # about 500 bytes in each of three paraphrases


def generated(count):
    def record(i):
        paraphrases = [f"{TEXT}{i} paraphrase {w}?" for w in range(2)]
        return {"question": f"{TEXT}{i}?", "answers": [f"gold {i}"], "paraphrases": paraphrases}

    def rows():
        return number_rows("endless", map(record, range(count)))

    return Dataset("endless", QUESTION_ANSWERING, rows, lambda _: [], 0, "")


def peak_bytes(ask, store, monkeypatch, count):
    monkeypatch.setattr("producer.request.open_dataset", lambda name, data: generated(count))
    request = ask(methods=("origin", "avg"), shard_size=64)
    tracemalloc.start()
    try:
        prepared = prepare(request, store)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert prepared.runs[0].spec.num_samples == count
    assert sum(len(message.row_numbers()) for message in prepared.messages) == count
    return peak


def test_twenty_thousand_questions_take_hardly_more_memory_than_two_thousand(
    ask, tmp_path, monkeypatch
):
    peaks = {}
    for count in (FEW, FEW, MANY):  # the first pass also pays for what is imported
        store = StoreFilesystem.open(str(tmp_path / f"store-{len(list(tmp_path.iterdir()))}"))
        peaks[count] = peak_bytes(ask, store, monkeypatch, count)
    per_question = (peaks[MANY] - peaks[FEW]) / (MANY - FEW)
    assert per_question < 60, peaks
