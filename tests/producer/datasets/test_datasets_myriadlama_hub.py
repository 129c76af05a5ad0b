"""`myriadlama` from the hub: a row for each paraphrase there, a sample for each fact here."""

import random

import datasets
import pytest

from common.errors import UsageError
from producer.datasets import open_dataset
from producer.prepare import prepare

FACTS = [f"fact-{i:02d}" for i in range(23)]


def hub_rows():
    """Three paraphrases of each fact, two by hand, the facts in no order."""
    kinds = (("[X] is a [Y].", True), ("[Y]: [X].", False), ("A [Y] is [X].", True))
    rows = [
        {
            "uuid": uuid, "rel_uri": "P1", "sub_ent": f"the {uuid}",
            "obj_aliases": [f"gold {uuid}", "alias"], "is_manual": manual, "template": template,
        }
        for template, manual in kinds
        for uuid in FACTS
    ]  # fmt: skip
    random.Random(3).shuffle(rows)
    return rows


@pytest.fixture
def hub_calls(monkeypatch):
    calls = []

    def load(path, *, split, streaming):
        calls.append((path, split, streaming))
        return datasets.Dataset.from_list(hub_rows())

    monkeypatch.setattr("producer.datasets.hub._hub_is_known", lambda: True)
    monkeypatch.setattr("producer.datasets.builtin.myriadlama.TEST_SIZE", 7)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


def library_split():
    whole = datasets.Dataset.from_list([{"uuid": uuid} for uuid in sorted(FACTS)])
    return whole.train_test_split(test_size=7, seed=42, shuffle=True)


def test_nothing_is_fetched_before_it_is_read(hub_calls):
    open_dataset("myriadlama", None).samples()
    assert hub_calls == []


def test_the_test_split_is_the_librarys_over_facts_ordered_by_uuid(hub_calls):
    samples = list(open_dataset("myriadlama", None).samples())
    assert hub_calls == [("iszhaoxin/MyriadLAMA", "train", False)]
    assert [s.uuid for s in samples] == library_split()["test"]["uuid"][:]


def test_a_fact_has_all_its_paraphrases_filled_in_manual_ones_first(hub_calls):
    sample = next(open_dataset("myriadlama", None).samples())
    subject = f"the {sample.uuid}"
    assert sample.answers == (f"gold {sample.uuid}", "alias")
    assert sample.num_manual == 2
    filled = {
        "A [Y] is [X].": f"A [MASK] is {subject}.",
        "[X] is a [Y].": f"{subject} is a [MASK].",
    }
    templates = [
        row["template"] for row in hub_rows() if row["uuid"] == sample.uuid and row["is_manual"]
    ]
    assert sample.paraphrases[:2] == tuple(filled[template] for template in templates)
    assert sample.paraphrases[2:] == (f"[MASK]: {subject}.",)


@pytest.mark.parametrize("count", [1, 5])
def test_examples_are_drawn_from_the_train_split_with_seed_42(hub_calls, count):
    train = library_split()["train"]["uuid"][:]
    chosen = [train[i] for i in random.Random(42).sample(range(len(train)), count)]
    examples = open_dataset("myriadlama", None).few_shot(count)
    assert [answer for _, answer in examples] == [f"gold {uuid}" for uuid in chosen]
    for (text, _), uuid in zip(examples, chosen, strict=True):
        assert text in (f"A [MASK] is the {uuid}.", f"the {uuid} is a [MASK].")


@pytest.fixture
def no_hub(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("producer.datasets.hub._hub_is_known", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", fail)


@pytest.mark.parametrize("what", ["samples", "few_shot"])
def test_a_hub_that_is_away_is_one_sentence(no_hub, what):
    dataset = open_dataset("myriadlama", None)
    with pytest.raises(UsageError, match=r"MyriadLAMA .*no route; .*--data.*--few-shot"):
        list(dataset.samples()) if what == "samples" else dataset.few_shot(5)


def test_without_a_hub_masked_sentences_are_taken_and_a_note_says_so(ask, store, jsonl, no_hub):
    row = {
        "uuid": "u", "answers": ["x"], "manual_paraphrases": ["a [MASK]."],
        "auto_paraphrases": ["b [MASK]."],
    }  # fmt: skip
    request = ask(
        dataset="myriadlama", data=jsonl([row]), num_paraphrases=None, num_manual=1, num_auto=1,
        num_few_shot=None,
    )  # fmt: skip
    prepared = prepare(request, store)
    (run,) = prepared.runs
    assert all("[MASK]" in text for text, _ in run.spec.few_shot)
    assert run.key.name == "avg-m1a1s5"
    assert "5 bundled ones instead of the train split of iszhaoxin" in prepared.notes[0]
