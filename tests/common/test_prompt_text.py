"""common.prompts: the exact text of prompts, and that prefix, segment and cue add up."""

import pytest

from common.prompts import QUESTION_ANSWERING, Template

INSTRUCTION = (
    "Answer the question based on general world knowledge. Provide a short and direct answer."
)
EXAMPLES = [("what is ice?", "water"), ("who?", "him")]


def test_the_instruction_is_the_one_of_the_issue():
    assert QUESTION_ANSWERING.instruction == INSTRUCTION


def test_a_prompt_with_examples_is_exactly_this():
    assert QUESTION_ANSWERING.prompt("where?", EXAMPLES) == (
        f"{INSTRUCTION}\n\nQ: what is ice?\nA: water\n\nQ: who?\nA: him\n\nQ: where?\nA:"
    )


def test_a_prompt_without_examples_lacks_the_block_and_its_blank_line():
    assert QUESTION_ANSWERING.prompt("where?", []) == f"{INSTRUCTION}\n\nQ: where?\nA:"


def test_a_template_without_instruction_begins_with_its_first_entry():
    assert Template(instruction="").prompt("where?", EXAMPLES[:1]) == (
        "Q: what is ice?\nA: water\n\nQ: where?\nA:"
    )
    assert Template(instruction="").prompt("where?", []) == "Q: where?\nA:"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_prefix_segment_and_cue_are_the_prompt(count):
    t, examples = QUESTION_ANSWERING, EXAMPLES[:count]
    assert t.prefix(examples).endswith("\n\n")
    assert t.segment("where?") == "Q: where?\n"
    assert t.cue == "A:"
    assert t.prefix(examples) + t.segment("where?") + t.cue == t.prompt("where?", examples)


def test_a_question_that_looks_like_a_template_is_left_as_it_is():
    paraphrase = "what is {question} 100% \\n [SEP]?"
    assert QUESTION_ANSWERING.prompt(paraphrase, []).endswith(f"Q: {paraphrase}\nA:")


def test_other_words_for_question_and_cue_are_used_in_the_examples_too():
    template = Template(instruction="Antworte.", question="F: ", cue="Antwort:")
    assert template.prompt("wo?", [("wer?", "er")]) == (
        "Antworte.\n\nF: wer?\nAntwort: er\n\nF: wo?\nAntwort:"
    )
