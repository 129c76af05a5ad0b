"""The many questions: how many there are, and how long they are in tokens."""

import pytest

from benchmarks.questions import MAX_QUESTIONS, many_questions, texts_of
from benchmarks.random_llama import TOKENIZER_SIZE, make_tokenizer
from benchmarks.workload import Workload
from common.errors import UsageError
from common.models import find_model
from worker.model.model_place import load_tokenizer


def test_there_are_as_many_questions_as_in_webquestions_and_no_two_share_a_paraphrase():
    texts = texts_of(many_questions(MAX_QUESTIONS))
    assert len(set(texts)) == len(texts) == 2032 * 5
    with pytest.raises(UsageError, match="there are 2032 benchmark questions, not 2033"):
        many_questions(2033)


@pytest.mark.model
def test_paraphrases_are_as_long_as_with_a_real_tokenizer():
    questions = many_questions(MAX_QUESTIONS)
    made = make_tokenizer(Workload().plain_texts(questions), TOKENIZER_SIZE, bos=False)
    real = load_tokenizer(find_model("smollm2_135m_it"))
    for texts in (texts_of(questions), Workload().plain_texts(questions[:1])):
        lengths = [
            sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
            for tokenizer in (made, real)
        ]
        assert lengths[0] == pytest.approx(lengths[1], rel=0.1)
