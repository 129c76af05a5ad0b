"""common.prompts: the exact text of prompts, and that prefix, segment and cue add up."""

import pytest
from pydantic import ValidationError

from common.prompts import QUESTION_ANSWERING, Template, before_stop

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
def test_the_prefix_is_what_prompts_of_all_questions_begin_with(count):
    t, examples = QUESTION_ANSWERING, EXAMPLES[:count]
    assert t.prefix(examples).endswith("\n\n")
    assert t.prompt("where?", examples) == t.prefix(examples) + "Q: where?\nA:"


def test_a_question_that_looks_like_a_template_is_left_as_it_is():
    paraphrase = "what is {question} 100% \\n [SEP]?"
    assert QUESTION_ANSWERING.prompt(paraphrase, []).endswith(f"Q: {paraphrase}\nA:")


def test_every_part_of_a_template_is_taken_as_it_stands():
    template = Template(
        instruction="Antworte. ", gap="\n", example="F: {question} -> {answer}\n",
        question="F: {question}", cue=" ->",
    )  # fmt: skip
    assert template.prompt(" wo?", [("wer? ", "er")]) == "Antworte. \nF: wer?  -> er\nF:  wo? ->"


def test_a_question_that_spells_a_place_is_not_filled_again():
    shown = Template(instruction="").prompt("q", [("what is {answer}?", "{question}")])
    assert shown == "Q: what is {answer}?\nA: {question}\n\nQ: q\nA:"


@pytest.mark.parametrize(
    ("part", "text", "missing"),
    [("question", "Q: ", "{question}"), ("example", "{question}", "{answer}")],
)
def test_a_template_that_would_leave_a_text_out_is_refused(part, text, missing):
    with pytest.raises(ValidationError, match=f"{part} must hold {missing}"):
        Template(instruction="", **{part: text})


@pytest.mark.parametrize(
    ("text", "stop", "wanted"),
    [
        ("Paris\nQ", ("\n",), "Paris"),
        ("Paris", ("\n",), "Paris"),
        ("Paris", (), "Paris"),
        ("a###b\n", ("\n", "###"), "a"),
        ("xabc", ("abc", "xab"), ""),
        ("xabcd", ("bc", "xabc"), ""),
        ("日本。東京", ("。",), "日本"),
    ],
)
def test_text_ends_at_the_stop_string_that_is_complete_first(text, stop, wanted):
    assert before_stop(text, stop) == wanted
