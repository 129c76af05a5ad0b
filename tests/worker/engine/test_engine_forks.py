"""Sequences that have fed the same tokens share a row, which is forked when tokens differ."""

import pytest
import torch

from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import MANY, make_request
from worker.engine.model_runner import ModelRunner
from worker.engine.stats import EngineStats

ALL = ("origin", "per_prompt", "avg", "max", "flex_attention")


@pytest.fixture
def fed_rows(monkeypatch):
    """Number of rows that each step feeds."""
    rows = []
    original = ModelRunner.logits

    def logits(runner, bucket):
        rows.append(bucket.num_rows)
        return original(runner, bucket)

    monkeypatch.setattr(ModelRunner, "logits", logits)
    return rows


def test_the_first_step_feeds_each_paraphrase_once_for_all_methods(make_engine, bos, fed_rows):
    answers_of(make_engine(bos=bos), MANY, make_request(*ALL))
    paraphrases, fused = 3 * len(MANY), len(MANY)
    assert fed_rows[0] == paraphrases + fused
    assert max(fed_rows) > fed_rows[0], "some sequences part"


def test_methods_together_feed_fewer_tokens_than_one_by_one(make_engine, bos):
    engine, together, apart = make_engine(bos=bos), EngineStats(), EngineStats()
    answers_of(engine, MANY, make_request(*ALL, max_new_tokens=7), together)
    for name in ALL:
        answers_of(engine, MANY, make_request(name, max_new_tokens=7), apart)
    assert together.decode_tokens < apart.decode_tokens


@pytest.mark.parametrize("steps", [2, 9])
def test_methods_together_answer_as_one_by_one(make_engine, family, bos, steps):
    engine = make_engine(family, bos)
    together = answers_of(engine, MANY, make_request(*ALL, max_new_tokens=steps))
    for name in ALL:
        alone = answers_of(engine, MANY, make_request(name, max_new_tokens=steps))
        for one, all_of_them in zip(alone, together, strict=True):
            for a, b in zip(one[name], all_of_them[name], strict=True):
                assert (a.tokens, a.finish_reason) == (b.tokens, b.finish_reason)
                torch.testing.assert_close(a.token_logprobs, b.token_logprobs, atol=1e-4, rtol=0)
