"""MyriadLAMA (Zhao et al. 2024): facts as sentences with one `[MASK]`, in many paraphrases.

From the hub, where a row is one paraphrase of one fact: the facts, ordered by uuid, are shuffled
with seed 42 and the first 2,000 are the test split, as in published results. Files have one
row for each fact: `uuid`, `answers`, `manual_paraphrases`, `auto_paraphrases`.
"""

import random
from collections.abc import Collection, Iterator
from typing import Any

from common.prompts import Example
from producer.datasets import hub
from producer.datasets.dataset import DEFAULT_FEW_SHOT, Dataset
from producer.datasets.masked import (
    MASK,
    MAX_NEW_TOKENS,
    PREDICT_THE_MASK,
    bundled_masked,
    sentences,
)
from producer.datasets.question_files import Question
from producer.datasets.readers.rows import Row
from producer.datasets.selection import Selection

HUB_ID = "iszhaoxin/MyriadLAMA"
TEST_SIZE = 2000
SEED = 42


def open_dataset() -> Dataset:
    """The test split; nothing is fetched before it is read."""
    return Dataset(
        name="myriadlama",
        template=PREDICT_THE_MASK,
        questions=_questions,
        few_shot=_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin=f"the train split of {HUB_ID}, seed {SEED}",
        question=_fact,
        example=_example,
        fallback_examples=bundled_masked,
        default_selection=Selection(num_manual=5, num_auto=5),
        default_layout="shared",
        default_max_new_tokens=MAX_NEW_TOKENS,
    )


def _fact(row: Row) -> Question:
    manual = sentences(row, "manual_paraphrases", may_be_empty=True)
    auto = sentences(row, "auto_paraphrases", may_be_empty=True)
    paraphrases = (*manual, *auto)
    if not paraphrases:
        rule = "a list of texts with at least one, here or in 'auto_paraphrases'"
        row.refuse("manual_paraphrases", rule, [])
    uuid = row.text("uuid")
    return Question(paraphrases[0], row.answers(), uuid, paraphrases, len(manual), row.where)


def _example(row: Row) -> Example:
    return sentences(row, "manual_paraphrases")[0], row.answers()[0]


def _questions() -> Iterator[Question]:
    with hub.hub_errors(HUB_ID, "test"):
        table = _load()
        test = _split(table)["test"]
        facts = _facts(table, test)
        for number, uuid in enumerate(test, start=1):
            yield _fact(Row(HUB_ID, number, facts[uuid]))


def _few_shot(count: int) -> list[Example]:
    with hub.hub_errors(HUB_ID, "train"):
        table = _load()
        train = _split(table)["train"]
        chosen = random.Random(SEED).sample(train, min(count, len(train)))
        facts = _facts(table, chosen)
        return [_example(Row(HUB_ID, n, facts[uuid])) for n, uuid in enumerate(chosen, start=1)]


def _load() -> Any:
    """All paraphrases of all facts, an Arrow table on disk; the hub knows one split, "train"."""
    return hub.load_split(HUB_ID, "train", streaming=False).data.table


def _split(table: Any) -> dict[str, list[str]]:
    """RepeatedUuids of the test and the train split."""
    import datasets

    uuids = sorted(table["uuid"].unique().to_pylist())
    splits = datasets.Dataset.from_dict({"uuid": uuids}).train_test_split(TEST_SIZE, seed=SEED)
    return {name: splits[name]["uuid"][:] for name in ("test", "train")}


def _facts(table: Any, uuids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The facts of the given uuids, as rows of a file; the other facts are not read."""
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
