"""MyriadLAMA (Zhao et al. 2024): facts as sentences with one `[MASK]`, in many paraphrases.

On the hub a row is one paraphrase of one fact. The facts, ordered by uuid, are shuffled with
seed 42 and the first 2,000 are the test split, as in published results. Files have one row for
each fact: `uuid`, `answers`, `manual_paraphrases`, `auto_paraphrases`.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from common.prompts import Example
from common.records import Sample
from producer.datasets import hub
from producer.datasets.dataset import DEFAULT_FEW_SHOT, Dataset
from producer.datasets.masked import (
    MASK,
    MAX_NEW_TOKENS,
    PREDICT_THE_MASK,
    bundled_masked,
    sentences,
)
from producer.datasets.readers.rows import Row
from producer.datasets.selection import Selection

HUB_ID = "iszhaoxin/MyriadLAMA"
TEST_SIZE = 2000
SEED = 42


def open_dataset() -> Dataset:
    """The test split, which is fetched when it is read."""
    return Dataset(
        name="myriadlama",
        template=PREDICT_THE_MASK,
        rows=_rows,
        few_shot=_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin=f"the train split of {HUB_ID}, seed {SEED}",
        read=_read,
        example=_example,
        fallback_examples=bundled_masked,
        default_selection=Selection(num_manual=5, num_auto=5),
        default_layout="shared",
        default_max_new_tokens=MAX_NEW_TOKENS,
    )


def _read(row: Row) -> Sample:
    manual = sentences(row, "manual_paraphrases", may_be_empty=True)
    auto = sentences(row, "auto_paraphrases", may_be_empty=True)
    paraphrases = (*manual, *auto)
    if not paraphrases:
        rule = "a list of texts with at least one, here or in 'auto_paraphrases'"
        row.refuse("manual_paraphrases", rule, [])
    uuid = row.text("uuid")
    return Sample(paraphrases, row.answers(), uuid, len(manual))


def _example(row: Row) -> Example:
    return sentences(row, "manual_paraphrases")[0], row.answers()[0]


def _rows() -> Iterator[Row]:
    with hub.hub_errors(HUB_ID, "test"):
        table = _load()
        yield from _fact_rows(table, _split(table)["test"])


def _few_shot(count: int) -> list[Example]:
    with hub.hub_errors(HUB_ID, "train"):
        table = _load()
        train = _split(table)["train"]
        chosen = random.Random(SEED).sample(train, min(count, len(train)))
        return [_example(row) for row in _fact_rows(table, chosen)]


def _load() -> Any:
    """All paraphrases of all facts, an Arrow table on disk; the hub has one split, "train"."""
    return hub.load_split(HUB_ID, "train", streaming=False).data.table


def _split(table: Any) -> dict[str, list[str]]:
    """Uuids of the test and the train split."""
    import datasets

    uuids = sorted(table["uuid"].unique().to_pylist())
    splits = datasets.Dataset.from_dict({"uuid": uuids}).train_test_split(TEST_SIZE, seed=SEED)
    return {name: splits[name]["uuid"][:] for name in ("test", "train")}


def _fact_rows(table: Any, uuids: Sequence[str]) -> Iterator[Row]:
    """The facts of the given uuids, in that order, as rows of a file."""
    facts = _facts(table, uuids)
    return (Row(HUB_ID, number, facts[uuid]) for number, uuid in enumerate(uuids, start=1))


def _facts(table: Any, uuids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The cells of the given facts by uuid; the other facts are not read."""
    import pyarrow as pa
    from pyarrow import compute

    columns = ["uuid", "sub_ent", "obj_aliases", "is_manual", "template"]
    wanted = compute.is_in(table["uuid"], value_set=pa.array(uuids))
    facts: dict[str, dict[str, Any]] = {}
    for row in table.select(columns).filter(wanted).to_pylist():
        fact = facts.setdefault(
            row["uuid"],
            {
                "uuid": row["uuid"], "answers": row["obj_aliases"],
                "manual_paraphrases": [], "auto_paraphrases": [],
            },
        )  # fmt: skip
        kind = "manual_paraphrases" if row["is_manual"] else "auto_paraphrases"
        fact[kind].append(row["template"].replace("[X]", row["sub_ent"]).replace("[Y]", MASK))
    return facts
