"""producer.prepare.prepare: the runs it creates, their snapshots, and their messages."""

from itertools import chain

import pytest

from common.methods import METHODS
from common.models import REGISTRY
from common.prompts import QUESTION_ANSWERING
from common.settings import Settings
from common.store import list_runs
from producer.prepare import prepare
from tests.common.storekit import all_files

PLAIN = tuple(
    name
    for name, method in METHODS.items()
    if not method.reads_confidences and method.visibility != "cross_manual"
)
"""Methods that need nothing but paraphrases."""


def keys(prepared):
    return [str(run.key) for run in prepared.runs]


def rows_of(messages):
    return [message.row_numbers() for message in messages]


def test_a_run_is_made_for_each_method_once(ask, store):
    prepared = prepare(ask(methods=("avg", "origin", "avg")), store)
    assert keys(prepared) == ["quiz/owner--model/avg-3", "quiz/owner--model/origin"]
    assert [str(run.key) for run in list_runs(store)] == keys(prepared)


@pytest.mark.parametrize(
    ("layout", "positions", "name", "in_spec"),
    [
        ("concat", None, "flex_attention-3", ("concat", "sequential")),
        ("concat", "sequential", "flex_attention-3", ("concat", "sequential")),
        ("concat", "aligned", "flex_attention-3-aligned", ("concat", "aligned")),
        ("shared", None, "flex_attention-3-shared", ("shared", "aligned")),
        ("shared", "sequential", "flex_attention-3-shared-sequential", ("shared", "sequential")),
    ],
)
def test_layout_and_positions_are_in_the_name_and_spec_of_fused_runs_alone(
    ask, store, layout, positions, name, in_spec
):
    request = ask(methods=("flex_attention", "avg"), layout=layout, positions=positions)
    fused, avg = prepare(request, store).runs
    assert (fused.key.name, avg.key.name) == (name, "avg-3")
    assert (fused.spec.layout, fused.spec.positions) == in_spec
    assert (avg.spec.layout, avg.spec.positions) == (None, None)


def test_the_spec_is_what_was_asked_for(ask, store):
    (run,) = prepare(ask(max_new_tokens=9, dtype="bfloat16"), store).runs
    digest = run.spec.dataset_sha256
    assert len(digest) == 64
    assert run.spec.model_dump() == {
        "dataset": "quiz",
        "dataset_sha256": digest,
        "num_samples": 11,
        "model": "owner/model",
        "model_source": "owner/model",
        "method": "avg",
        "num_paraphrases": 3,
        "layout": None,
        "positions": None,
        "template": QUESTION_ANSWERING.model_dump(),
        "few_shot": (),
        "max_new_tokens": 9,
        "dtype": "bfloat16",
        "prompt": "plain",
        "thinking": "off",
        "stop": ("\n",),
        "date_string": None,
        "revision": None,
        "semantics": 3,
        "sampling": None,
        "exemplars": None,
    }


def test_a_registered_model_is_recorded_with_where_it_comes_from(ask, store):
    prepared = prepare(ask(model="qwen3_4b"), store)
    assert prepared.model == REGISTRY["qwen3_4b"]
    (run,) = prepared.runs
    assert (run.spec.model, run.spec.model_source) == ("qwen3_4b", "Qwen/Qwen3-4B")


def test_a_local_model_is_recorded_where_it_lies(ask, store, tmp_path, monkeypatch):
    (tmp_path / "my model").mkdir()
    monkeypatch.chdir(tmp_path)
    (run,) = prepare(ask(model="./my model"), store).runs
    assert str(run.key) == "quiz/my-model/avg-3"
    assert run.spec.model == run.spec.model_source == str(tmp_path / "my model")


def test_the_snapshot_of_a_method_has_the_paraphrases_it_reads(ask, store):
    origin, avg = prepare(ask(methods=("origin", "avg"), num_paraphrases=2), store).runs
    assert origin.spec.num_paraphrases == 1
    assert origin.read_samples([3])[0].paraphrases == ("question 3?",)
    assert avg.read_samples([3])[0].paraphrases == ("question 3?", "3 asked so?")
    assert origin.read_samples([3])[0].answers == ("gold 3",)


def test_max_samples_takes_the_first_questions(ask, store):
    (run,) = prepare(ask(max_samples=4), store).runs
    assert run.spec.num_samples == 4
    assert [s.answers for s in run.read_samples(range(4))] == [(f"gold {i}",) for i in range(4)]


def test_nothing_but_the_runs_is_left_in_the_store(ask, store):
    runs = prepare(ask(methods=PLAIN), store).runs
    files = [f"{run.key}/{name}" for run in runs for name in ("input.arrow", "run.json")]
    assert all_files(store) == sorted(files)


def test_who_made_a_run_and_when_is_recorded_beside_the_fingerprint(ask, store):
    (run,) = prepare(ask(), store).runs
    provenance = run.record.provenance
    assert {"created", "user", "host", "self_ensemble"} <= set(provenance)
    assert run.record.fingerprint == run.spec.fingerprint
    assert not set(Settings.model_fields) & set(provenance)


def test_a_user_without_a_name_can_enqueue(ask, store, monkeypatch):
    """As in a container that was started with a number for its user."""

    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert prepare(ask(), store).runs[0].exists()


@pytest.mark.parametrize(("size", "count"), [(1, 11), (4, 3), (11, 1), (64, 1)])
def test_messages_cover_every_row_once_in_shards(ask, store, size, count):
    messages = prepare(ask(shard_size=size), store).messages
    assert len(messages) == count
    assert list(chain.from_iterable(rows_of(messages))) == list(range(11))
    assert all(len(rows) <= size for rows in rows_of(messages))


def test_methods_asked_for_together_share_their_messages(ask, store):
    prepared = prepare(ask(methods=PLAIN), store)
    assert [message.runs for message in prepared.messages] == [keys(prepared)] * 3
    assert rows_of(prepared.messages) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_the_fingerprint_does_not_depend_on_the_shard_size_or_the_company(ask, store, tmp_path):
    (alone,) = prepare(ask(shard_size=2), store).runs
    other = type(store).open(str(tmp_path / "other"))
    together = prepare(ask(methods=("max", "avg"), shard_size=64), other).runs
    assert alone.record.fingerprint == together[1].record.fingerprint
