"""The decode loop: when an answer stops, and that finished rows are no longer fed."""

import pytest
import torch

from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import EOS, FAMILIES, MANY, VOCABULARY, make_request
from worker.engine import decode_bucket
from worker.engine.stats import EngineStats
from worker.model.tokenizer import PromptTokenizer

STEPS = 13
NEWLINE = "stop:\\n"


@pytest.fixture
def talkative(make_engine, tokenizers):
    """An engine whose answers end in all three ways: newline and EOS come up often."""

    def make(family="llama", bos=False):
        engine = make_engine(family, bos)
        (newline,) = tokenizers[bos]("\n", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            engine.model.lm_head.weight[[newline, EOS]] *= 1.6
        return engine

    return make


def generated(answers):
    return [g for answer in answers for generations in answer.values() for g in generations]


def test_an_answer_stops_at_newline_eos_or_length_and_says_which(
    talkative, tokenizers, family, bos
):
    engine = talkative(family, bos)
    known = PromptTokenizer(tokenizers[bos]).token_bytes.by_id
    reasons = ["eos" if i == EOS else NEWLINE if b"\n" in b else None for i, b in enumerate(known)]
    generations = generated(answers_of(engine, MANY, make_request(max_new_tokens=STEPS)))
    for one in generations:
        *before, last = ([*reasons, *[None] * VOCABULARY][token] for token in one.tokens)
        assert set(before) <= {None}
        assert one.finish_reason == (last or "length")
        assert (one.finish_reason == "length") <= (len(one.tokens) == STEPS)


def test_the_tiny_models_answers_end_in_all_three_ways(talkative):
    """The other tests of this file rely on this."""
    request = make_request(max_new_tokens=STEPS)
    answers = [
        answer for family in FAMILIES for answer in answers_of(talkative(family), MANY, request)
    ]
    assert {one.finish_reason for one in generated(answers)} == {NEWLINE, "eos", "length"}


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_no_answer_is_longer_than_asked_for_and_longer_ones_begin_alike(talkative, steps):
    engine = talkative()
    short = generated(answers_of(engine, MANY, make_request(max_new_tokens=steps)))
    long = generated(answers_of(engine, MANY, make_request(max_new_tokens=STEPS)))
    for a, b in zip(short, long, strict=True):
        assert a.tokens == b.tokens[:steps]
        assert a.finish_reason == (b.finish_reason if len(b.tokens) <= steps else "length")


def test_every_eos_of_the_generation_config_ends_an_answer(make_engine, tokenizers):
    request = make_request("origin", max_new_tokens=STEPS)
    free = generated(answers_of(make_engine(), MANY, request))
    second = [one.tokens[1] for one in free if len(one.tokens) > 1]
    engine = make_engine(eos_token_id=[EOS, *second])
    for one, before in zip(generated(answers_of(engine, MANY, request)), free, strict=True):
        assert len(one.tokens) <= 2
        assert one.tokens == before.tokens[: len(one.tokens)]
        assert one.finish_reason == "eos"


@pytest.fixture
def count_fed(talkative, monkeypatch):
    """Answers and number of decoded tokens; `share`: rows are dropped if fewer are running."""

    def run(share, *methods, bos=False, family_of_group="llama", positions="sequential"):
        monkeypatch.setattr(decode_bucket, "_COMPACT_BELOW", share)
        counts = EngineStats()
        request = make_request(*methods, max_new_tokens=STEPS, positions=positions)
        answers = answers_of(talkative(family_of_group, bos), MANY, request, counts)
        return answers, counts.decode_tokens

    return run


def test_finished_sequences_are_no_longer_fed(count_fed):
    answers, fed = count_fed(decode_bucket._COMPACT_BELOW, "per_prompt")
    lengths = [len(one.tokens) for one in generated(answers)]
    assert min(lengths) < max(lengths)
    assert sum(lengths) <= fed < len(lengths) * max(lengths)


@pytest.mark.parametrize("method", ["origin", "per_prompt", "avg", "max", "flex_attention"])
def test_dropping_at_once_feeds_exactly_the_tokens_generated(count_fed, method):
    """Each token costs one fed token for every sequence that picks it."""
    answers, fed = count_fed(1.0, method)
    sequences = 3 if method in ("avg", "max") else 1
    assert fed == sequences * sum(len(one.tokens) for one in generated(answers))


def test_never_dropping_feeds_every_sequence_until_the_last_has_stopped(count_fed):
    answers, fed = count_fed(0.0, "per_prompt")
    lengths = [len(one.tokens) for one in generated(answers)]
    assert fed == len(lengths) * max(lengths)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("positions", ["sequential", "aligned"])
def test_when_rows_are_dropped_does_not_change_answers(count_fed, family, bos, share, positions):
    """Aligned sequences of one row group read one or three copies of the prefix."""
    options = {"bos": bos, "family_of_group": family, "positions": positions}
    usual, _ = count_fed(decode_bucket._COMPACT_BELOW, **options)
    other, _ = count_fed(share, **options)
    for a, b in zip(generated(usual), generated(other), strict=True):
        assert (a.tokens, a.finish_reason) == (b.tokens, b.finish_reason)
        assert a.logprob == pytest.approx(b.logprob, abs=1e-4)


@pytest.mark.parametrize("method", ["per_prompt", "avg"])
def test_logprob_is_the_sum_over_the_tokens_given(make_engine, recorded, method):
    request = make_request(method, max_new_tokens=STEPS)
    generations = generated(answers_of(make_engine(), MANY, request))
    for number, one in enumerate(generations):
        scores = torch.stack(recorded[number]).mean(dim=1).log_softmax(dim=-1)
        picked = scores[range(len(one.tokens)), list(one.tokens)]
        assert one.logprob == pytest.approx(float(picked.sum()), abs=1e-5)
        assert scores.argmax(dim=-1).tolist() == list(one.tokens)
