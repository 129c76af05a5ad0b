"""What the benchmarks ask, and what they hold it against."""

from itertools import pairwise

import pytest
import torch
from transformers import LlamaConfig

from benchmarks.questions import MAX_SAMPLES
from benchmarks.rates import LinearShapes, decode_seconds, prefill_rate
from benchmarks.workload import MAX_EXAMPLES, Workload, few_shot
from common.errors import UsageError
from common.models import find_model
from worker.model.loader import load_tokenizer
from worker.model.tokenizer import PromptTokenizer


def test_no_two_questions_share_a_paraphrase():
    paraphrases = [w for q in Workload().questions(MAX_SAMPLES) for w in q.paraphrases]
    assert len(set(paraphrases)) == len(paraphrases) == 512 * 5


def test_fewer_questions_are_the_first_of_more():
    workload = Workload()
    counts = (8, 64, 512)
    for few, many in pairwise(workload.questions(count) for count in counts):
        assert many[: len(few)] == few


@pytest.mark.model
def test_paraphrases_are_as_long_as_a_persons_questions():
    tokenizer = PromptTokenizer(load_tokenizer(find_model("smollm2_135m_it")))
    workload = Workload()
    asked = workload.request("origin")
    lengths = [
        len(segment)
        for question in workload.questions(MAX_SAMPLES)
        for segment in tokenizer.pieces(question.paraphrases, asked.template, ()).segments
    ]
    marks = len(tokenizer.pieces(("",), asked.template, ()).segments[0])
    assert 8 <= sum(lengths) / len(lengths) - marks <= 12


def test_more_questions_or_examples_than_there_are_are_refused():
    with pytest.raises(UsageError, match="there are 512 benchmark questions, not 513"):
        Workload().questions(513)
    assert len(set(few_shot(MAX_EXAMPLES))) == MAX_EXAMPLES
    with pytest.raises(UsageError, match="there are 77 bundled examples, not 78"):
        few_shot(78)


def test_the_work_of_a_token_is_that_of_every_weight_it_meets():
    config = LlamaConfig(
        vocab_size=11, hidden_size=6, intermediate_size=10, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=2,
    )  # fmt: skip
    shapes = LinearShapes.of(config)
    assert shapes.head == (11, 6)
    attention, feed_forward = 6 * 6 + 2 * (2 * 6) + 6 * 6, 3 * (10 * 6)
    assert shapes.prefill_flops == 2 * 2 * (attention + feed_forward)


def test_rates_are_measured_for_the_shapes_of_the_model():
    config = LlamaConfig(
        vocab_size=11, hidden_size=6, intermediate_size=10, num_hidden_layers=2,
        num_attention_heads=3,
    )  # fmt: skip
    where = (torch.float32, torch.device("cpu"))
    assert prefill_rate(config, *where) > 0
    assert decode_seconds(LinearShapes.of(config), 7, *where) > 0
