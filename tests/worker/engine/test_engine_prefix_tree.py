"""Common beginnings of segments are computed once, and sequences see the same tokens."""

from collections import Counter
from itertools import product, zip_longest
from math import exp, isclose
from types import SimpleNamespace
from typing import Any

import pytest

from common.methods import METHODS
from common.prompts import PromptFormat, Template
from common.records import Sample
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    FORMAT,
    SAMPLES,
    make_request,
    watch_fed_tokens,
)
from tests.worker.engine.packs import cut_sequences, distinct_segments
from worker.engine.budget import Budget
from worker.engine.planning import plan_ensembles
from worker.engine.prefix_cache import prefix_splitter
from worker.engine.prefix_tree import Pack, PrefixTree
from worker.engine.scheduler import Scheduler
from worker.engine.segments import PrefixSplitter, Segment, SegmentRef, SequencePlan
from worker.engine.stats import EngineStats
from worker.model.tokenizer import PromptTokenizer

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))
FUSED = [name for name, method in METHODS.items() if method.sequences == "fused"]
ALIKE = (
    ("who wrote the one", "who wrote the one by it?", "who is it?", "who wrote"),
    ("who wrote the two?", "the one who wrote it", "the one", "the one who wrote it"),
)
"""Paraphrases that begin alike, one that is the beginning of another, and one that repeats."""


def sequence_of(*runs, start=0, sees=()):
    """A sequence that sees runs of tokens, all starting at `start`."""
    return SequencePlan(tuple(SegmentRef(Segment(run, start, sees), 0) for run in runs), 9, 99)


def plans_of(tokenizers, bos, samples, request, movable=True):
    tokenizer = PromptTokenizer(tokenizers[bos])
    splitter = prefix_splitter(tokenizer.frame(request.prompt_format), movable)
    return [
        plan_ensembles(
            tokenizer.cut(request.prompt_format, paraphrases), request, splitter,
            Sample(paraphrases, num_manual=2, confidences=(0.5,) * len(paraphrases)),
        )
        for paraphrases in samples
    ]  # fmt: skip


def weights(sequence):
    """Weight of each token with all tokens it sees: {((token, position), seen): weight}."""
    total = Counter()
    for ref in sequence.refs:
        for place, before in seen(ref.segment, ref.offset).items():
            total[place, before] += exp(ref.bias)
    return total


def seen(segment, offset):
    """Each token of a segment with the weights of the tokens that it sees."""
    before = Counter()
    biases = segment.biases or (0.0,) * len(segment.sees)
    for other, bias in zip(segment.sees, biases, strict=True):
        for place in places(other, offset):
            before[place] += exp(bias)
    by_token = {}
    for place in places(segment, offset):
        before[place] += 1.0
        by_token[place] = tuple(sorted((p, round(w, 9)) for p, w in before.items()))
    return by_token


def places(segment, offset):
    return [(token, segment.start + offset + i) for i, token in enumerate(segment.tokens)]


@pytest.mark.parametrize("movable", [False, True], ids=["fixed", "movable"])
@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", [*FUSED, "per_prompt"])
def test_a_cut_sequence_sees_what_the_planned_one_sees(
    tokenizers, bos, layout, positions, method, movable
):
    options = {"layout": layout, "positions": positions, "num_paraphrases": 4}
    request = make_request(method, **options)
    plans = plans_of(tokenizers, bos, [*ALIKE, *SAMPLES], request, movable)
    cut = cut_sequences([sequence for plan in plans for sequence in plan.sequences], ())
    assert any(len(new.refs) > len(old.refs) for old, new in cut.items())
    for old, new in cut.items():
        assert (new.token, new.position) == (old.token, old.position)
        before, after = weights(old), weights(new)
        assert before.keys() == after.keys()
        assert all(isclose(before[place], after[place]) for place in before)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_no_token_with_all_it_sees_is_computed_twice(tokenizers, bos, layout, positions):
    request = make_request("flex_attention", "avg", layout=layout, positions=positions)
    plans = plans_of(tokenizers, bos, [*ALIKE, *SAMPLES], request)
    cut = cut_sequences([sequence for plan in plans for sequence in plan.sequences], ())
    computed = Counter(
        pair
        for segment in distinct_segments(list(cut.values()))
        for pair in seen(segment, 0).items()
    )
    assert set(computed.values()) == {1}


def test_segments_are_cut_where_others_branch_off_or_end():
    sequences = [sequence_of((4, 5, 6), (4, 5, 7), (4,), (8, 5, 6))]
    tree = PrefixTree(())
    tree.add(ref.segment for sequence in sequences for ref in sequence.refs)
    runs = [list(tree.runs(ref.segment)) for ref in sequences[0].refs]
    assert runs == [[(4,), (5,), (6,)], [(4,), (5,), (7,)], [(4,)], [(8, 5, 6)]]
    assert tree.size == 7


def test_what_starts_elsewhere_or_sees_another_is_not_shared():
    prefix, other = Segment((1, 2), 0), Segment((1, 3), 0)
    sequences = [
        sequence_of((4, 5), start=2, sees=(prefix,)),
        sequence_of((4, 6), start=3, sees=(prefix,)),
        sequence_of((4, 7), start=2, sees=(other,)),
    ]
    assert cut_sequences(sequences, (prefix, other)) == {s: s for s in sequences}


def test_what_is_computed_already_is_not_cut():
    known = Segment((1, 2, 3), 0)
    sequences = [sequence_of((1, 2, 3), (1, 2, 4))]
    cut = cut_sequences(sequences, (known,))
    assert cut[sequences[0]].refs[0].segment == known
    assert cut == {sequences[0]: sequences[0]}


def test_a_common_prefix_seen_through_two_paraphrases_counts_twice():
    one, two = Segment((4, 5), 0), Segment((4, 6), 0)
    sequence = SequencePlan((SegmentRef(Segment((7,), 2, (one, two)), 0),), 9, 99)
    (ref,) = cut_sequences([sequence], ())[sequence].refs
    assert [s.tokens for s in ref.segment.sees] == [(4,), (5,), (6,)]
    assert [exp(bias) for bias in ref.segment.biases] == pytest.approx([2.0, 1.0, 1.0])


@pytest.mark.parametrize("budget", [1, 40, 77, 10_000])
def test_a_pack_is_full_when_its_tokens_are_with_common_prefixes_counted_once(
    tokenizers, bos, budget
):
    plans = plans_of(tokenizers, bos, [*ALIKE, *SAMPLES] * 2, make_request("avg"))
    sizes: Any = SimpleNamespace(slot_numbers=6, vocabulary=7)
    nothing_known: Any = SimpleNamespace(slots={})
    scheduler = Scheduler(sizes, 4, Budget(pack_tokens=budget))
    packs = list(scheduler.packs(plans, nothing_known))
    sequences = [plan.sequences for plan in plans]
    assert [s for pack in packs for s in pack.sequences] == [s for each in sequences for s in each]
    for pack, following in zip_longest(packs, packs[1:]):
        assert pack.num_new_tokens == size_of(pack.sequences)
        assert pack.sequences in sequences or pack.num_new_tokens <= budget
        first = following and next(s for s in sequences if s[0] is following.sequences[0])
        assert not following or size_of([*pack.sequences, *first]) > budget


@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_sequences_that_were_refused_leave_no_trace_in_a_pack(tokenizers, bos, layout):
    request = make_request("avg", "flex_attention", layout=layout, num_paraphrases=4)
    first, second, third = plans_of(tokenizers, bos, [*ALIKE, SAMPLES[0]], request)
    pack, without = Pack(()), Pack(())
    for each in (pack, without):
        assert each.add(first.sequences, most=1), "the first are added whatever their size"
    assert not pack.add(second.sequences, most=pack.num_new_tokens + 1)
    for each in (pack, without):
        assert each.add(third.sequences)
    assert pack.num_new_tokens == without.num_new_tokens
    assert pack.pieces() == without.pieces()


def size_of(sequences):
    cut = cut_sequences(sequences)
    return sum(len(segment.tokens) for segment in distinct_segments(list(cut.values())))


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", [*FUSED, "max", "weighted_avg"])
def test_paraphrases_that_begin_alike_equal_the_reference(
    make_engine, tokenizers, compare, bos, layout, positions, method
):
    request = make_request(method, layout=layout, positions=positions, num_paraphrases=4)
    compare(make_engine("qwen3", bos), tokenizers[bos], ALIKE, request)


def test_the_engine_prefills_common_prefixes_once(make_engine):
    engine, request = make_engine(), make_request("per_prompt", max_new_tokens=1)
    alone, together = EngineStats(), EngineStats()
    for sample in ALIKE:
        answers_of(engine, [sample], request, alone)
    fed = watch_fed_tokens(engine.model)
    answers_of(engine, ALIKE, request, together)
    assert sum(fed[:-1]) == together.prefill_tokens < alone.prefill_tokens


def test_the_words_before_a_question_are_cached(tokenizers, bos):
    """Prompts of other questions begin with the cuts, and with nothing more."""
    tokenizer = PromptTokenizer(tokenizers[bos])
    cuts = prefix_splitter(tokenizer.frame(FORMAT), True).cuts
    pieces = tokenizer.cut(FORMAT, [w for s in SAMPLES for w in s])
    head = cuts[0] + cuts[1]
    assert cuts[0] == pieces.bos
    assert {prompt[: len(head)] for prompt in pieces.prompts} == {head}
    assert len({prompt[len(head)] for prompt in pieces.prompts}) > 1
    assert tokenizer.text(head).endswith("Q:")


def test_a_template_without_anything_in_front_has_nothing_to_cache(tokenizers):
    bare = PromptFormat(Template(instruction="", question="{question}\n"))
    frame = PromptTokenizer(tokenizers[False]).frame(bare)
    assert prefix_splitter(frame, True) == PrefixSplitter(((), ()), True)
