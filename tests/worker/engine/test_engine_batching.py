"""How samples are batched changes nothing: alone, together, in another order, in small packs."""

import weakref

import pytest

from common.prompts import Template
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    FAMILIES,
    MANY,
    PLAIN_METHODS,
    make_request,
    watch_fed_tokens,
)
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.attention.flex import FlexBackend
from worker.engine.budget import Budget, split_by_budget
from worker.engine.model_runner import ModelRunner
from worker.engine.row_group import RowGroup
from worker.engine.stats import EngineStats

LAYOUTS = [("concat", "sequential"), ("concat", "aligned"), ("shared", "aligned")]


def plain(answers):
    """Tokens and finish reasons, which must be equal, without the log-probabilities."""
    return [
        {
            name: [(g.tokens, g.finish_reason) for g in generations]
            for name, generations in answer.items()
        }
        for answer in answers
    ]


def logprobs(answers):
    per_method = [generations for answer in answers for generations in answer.values()]
    return [p for generations in per_method for g in generations for p in g.token_logprobs]


def assert_alike(answers, others):
    assert plain(answers) == plain(others)
    assert logprobs(answers) == pytest.approx(logprobs(others), abs=1e-4)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_a_sample_answers_alike_alone_and_in_a_batch_of_seven(
    make_engine, family, bos, layout, positions
):
    engine = make_engine(family, bos)
    request = make_request(layout=layout, positions=positions)
    together = answers_of(engine, MANY, request)
    alone = [answer for sample in MANY for answer in answers_of(engine, [sample], request)]
    assert len(together) == 7
    assert_alike(together, alone)


@pytest.mark.parametrize("order", [(6, 5, 4, 3, 2, 1, 0), (3, 0, 6, 1, 5, 2, 4)])
def test_the_order_of_samples_does_not_matter(make_engine, family, bos, order):
    engine, request = make_engine(family, bos), make_request()
    answers = answers_of(engine, MANY, request)
    moved = answers_of(engine, [MANY[i] for i in order], request)
    assert_alike(moved, [answers[i] for i in order])


@pytest.mark.parametrize("method", PLAIN_METHODS)
def test_a_method_answers_alike_alone_and_among_all_methods(make_engine, family, bos, method):
    engine = make_engine(family, bos)
    among_all = [{method: a[method]} for a in answers_of(engine, MANY, make_request())]
    assert_alike(answers_of(engine, MANY, make_request(method)), among_all)


@pytest.mark.parametrize(
    "limits", [Budget(cache_bytes=1), Budget(pack_tokens=1), Budget(pack_tokens=67)]
)
def test_little_memory_gives_the_same_tokens_as_much(make_engine, family, bos, limits):
    request = make_request()
    much = answers_of(make_engine(family, bos), MANY, request)
    assert_alike(
        answers_of(make_engine(family, bos, engine={"budget": limits}), MANY, request), much
    )


def test_little_memory_really_cuts_the_batch(make_engine):
    """The model is called once per pack and once per decoding step: more often with less memory.

    Without room for one sample its ensembles are decoded one by one, after one prefill: three
    paraphrases, `avg`, `max`, and three fused sequences.
    """
    calls = []
    for limits in (Budget(), Budget(pack_tokens=1), Budget(cache_bytes=1)):
        engine = make_engine(engine={"budget": limits})
        fed = watch_fed_tokens(engine.model)
        answers_of(engine, MANY, make_request(max_new_tokens=1))
        calls.append(len(fed))
    cached, pack, step, n, ensembles = 1, 1, 1, len(MANY), 3 + 2 + 3
    assert calls == [
        cached + pack + step,
        cached + n * pack + step,
        cached + n * (pack + ensembles * step),
    ]


def test_repeated_samples_and_paraphrases_answer_alike(make_engine, bos):
    engine, request = make_engine(bos=bos), make_request()
    twice = [MANY[0], (MANY[1][0],) * 3, MANY[0]]
    first, same, again = answers_of(engine, twice, request)
    assert_alike([first], [again])
    assert len({g.tokens for g in same["per_prompt"]}) == 1
    for method in ("per_prompt", "avg", "max"):
        assert same[method][0].tokens == same["origin"][0].tokens


def test_both_backends_answer_alike(make_engine, bos):
    request, counts = make_request(), EngineStats()
    flex = make_engine("mistral", bos, engine={"backend": FlexBackend()})
    answers = answers_of(flex, MANY, request, counts)
    assert counts.prefill_tokens > FLEX_MIN_TOKENS
    assert_alike(answers, answers_of(make_engine("mistral", bos), MANY, request))


def test_only_as_many_paraphrases_as_asked_for_are_read(make_engine):
    engine = make_engine()
    request = make_request(num_paraphrases=2)
    assert answers_of(engine, MANY, request) == answers_of(engine, [s[:2] for s in MANY], request)
    assert all(len(a["per_prompt"]) == 2 for a in answers_of(engine, MANY, request))


@pytest.mark.parametrize(
    ("sizes", "budget", "wanted"),
    [
        ([], 5, []),
        ([9], 5, [[9]]),
        ([2, 3, 1], 5, [[2, 3], [1]]),
        ([2, 4, 9, 1, 1, 3, 5], 5, [[2], [4], [9], [1, 1, 3], [5]]),
    ],
)
def test_cutting_fills_runs_up_to_the_budget_or_gives_single_items(sizes, budget, wanted):
    assert list(split_by_budget(sizes, int, budget)) == wanted


def test_the_families_share_keys_among_three_queries():
    """Grouped queries are part of what is compared above."""
    assert all(sizes["num_attention_heads"] % 3 == 0 for _, sizes in FAMILIES.values())


def test_sequences_of_several_packs_share_their_row_groups(make_engine, monkeypatch):
    made = []

    class Noted(RowGroup):
        def __init__(self, model, geometry, sequences, caches, *others):
            made.append((len(sequences), len({id(caches[each]) for each in sequences})))
            super().__init__(model, geometry, sequences, caches, *others)

    monkeypatch.setattr("worker.engine.model_runner.RowGroup", Noted)
    request = make_request("flex_attention", max_new_tokens=1)
    for limits in (Budget(), Budget(pack_tokens=1)):
        answers_of(make_engine(engine={"budget": limits}), MANY, request)
    assert made == [(3, 1), (4, 1), (3, 3), (4, 4)]


def test_keys_are_freed_before_those_of_the_next_batch_are_made(make_engine, monkeypatch):
    """Without room for two sequences every ensemble has a bucket, and every sample a batch."""
    buckets, caches = [], []
    load, prefill = ModelRunner.load, ModelRunner.prefill

    def noted_load(runner, *arguments):
        assert not any(bucket() for bucket in buckets)
        buckets.append(weakref.ref(bucket := load(runner, *arguments)))
        return bucket

    def noted_prefill(runner, pack, prefix):
        assert not any(keys() is not None for keys in caches)
        cache = prefill(runner, pack, prefix)
        if prefix.num_slots:
            caches.append(weakref.ref(cache.keys))
        return cache

    monkeypatch.setattr(ModelRunner, "load", noted_load)
    monkeypatch.setattr(ModelRunner, "prefill", noted_prefill)
    answers_of(make_engine(engine={"budget": Budget(cache_bytes=1)}), MANY, make_request("avg"))
    assert (len(buckets), len(caches)) == (len(MANY), len(MANY))


def test_a_pack_without_new_tokens_decodes_beside_others(make_engine):
    """A prompt that is one token longer than the prefix has no key of its own."""
    bare = Template(instruction="Say one word.", question="{question}", cue="")
    request = make_request("origin", template=bare, few_shot=(), num_paraphrases=1)
    samples = [("?",), ("who is it",), ("it",)]
    alone = [answer for each in samples for answer in answers_of(make_engine(), [each], request)]
    engine = make_engine(engine={"budget": Budget(pack_tokens=1)})
    assert_alike(answers_of(engine, samples, request), alone)


def test_equal_samples_of_two_batches_are_answered_alike(make_engine):
    engine = make_engine(engine={"budget": Budget(cache_bytes=1)})
    first, _, again = engine.run([MANY[0], MANY[1], MANY[0]], make_request("avg")).answers
    assert first.generations == again.generations
