"""The bundled data set: enough questions, real paraphrases, examples that give nothing away."""

from itertools import combinations

import pytest

from common.answer_text import normalize
from producer.datasets import open_dataset

DATASET = open_dataset("webqa_mini", None)
SAMPLES = list(DATASET.samples())
EXAMPLES = DATASET.few_shot(5)


def words(text):
    return normalize(text).split()


def test_there_are_at_least_sixty_questions_and_no_two_are_the_same():
    assert len(SAMPLES) >= 60
    for texts in ([s.uuid for s in SAMPLES], [normalize(s.paraphrases[0]) for s in SAMPLES]):
        assert len(set(texts)) == len(SAMPLES)


def test_every_question_has_six_different_paraphrases():
    for sample in SAMPLES:
        assert len({normalize(w) for w in sample.paraphrases}) == len(sample.paraphrases) == 6


def test_no_paraphrase_is_another_one_with_one_word_changed():
    for sample in SAMPLES:
        for one, other in combinations(map(words, sample.paraphrases), 2):
            if len(one) == len(other):
                assert sum(a != b for a, b in zip(one, other, strict=True)) > 1, (one, other)
            assert set(one) ^ set(other), (one, other)


def test_no_paraphrase_belongs_to_two_questions():
    paraphrases = [normalize(w) for s in SAMPLES for w in s.paraphrases]
    assert len(set(paraphrases)) == len(paraphrases)


def test_every_answer_can_be_scored():
    assert all(s.answers and all(normalize(a) for a in s.answers) for s in SAMPLES)


def test_no_question_gives_its_own_answer_away():
    for sample in SAMPLES:
        for paraphrase in sample.paraphrases:
            text = f" {normalize(paraphrase)} "
            assert not [a for a in sample.answers if f" {normalize(a)} " in text], paraphrase


def test_there_are_five_examples():
    assert len(EXAMPLES) == len(set(EXAMPLES)) == DATASET.default_few_shot == 5


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_shares_neither_question_nor_answer_with_a_sample(example):
    question, answer = example
    assert normalize(question) not in {normalize(w) for s in SAMPLES for w in s.paraphrases}
    assert normalize(answer) not in {normalize(a) for s in SAMPLES for a in s.answers}
