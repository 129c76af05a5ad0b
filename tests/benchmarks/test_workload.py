"""The workload of the benchmarks: its questions and its few-shot examples."""

from itertools import pairwise

import pytest

from benchmarks.questions import MAX_SAMPLES
from benchmarks.workload import MAX_EXAMPLES, Workload, few_shot
from common.errors import UsageError
from common.models import find_model
from worker.model.model_place import load_tokenizer
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
    request = workload.request("origin")
    lengths = [
        len(segment)
        for question in workload.questions(MAX_SAMPLES)
        for segment in tokenizer.cut(request.prompt_format, question.paraphrases).segments
    ]
    assert 8 <= sum(lengths) / len(lengths) <= 12


def test_more_questions_or_examples_than_there_are_are_refused():
    with pytest.raises(UsageError, match="there are 512 benchmark questions, not 513"):
        Workload().questions(513)
    assert len(set(few_shot(MAX_EXAMPLES))) == MAX_EXAMPLES
    with pytest.raises(UsageError, match="there are 77 bundled examples, not 78"):
        few_shot(78)
