"""producer.prompt_file: a template of one's own, literal, and checked when it is read."""

import re
from pathlib import Path

import pytest

from common.errors import UsageError
from common.prompts import Template
from producer.options import PROMPT_FILE_HELP
from producer.prompt_file import read_prompt_file

WHOLE = r"""
instruction = "Answer.\n\n"
example = "Question: {question}\nAnswer: {answer}\n\n"
question = "Question: {question}\n"
cue = "Answer:"
stop = ["\n", "END"]
prediction = "word"
"""

MULTILINE = '''
instruction = """
cue = 7 stands in a text
"""
question = "{question}"
cue = 8
'''


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(content, name="mine.toml"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write


def test_every_key_is_read_and_the_prompt_is_what_stands_in_the_file(write):
    read = read_prompt_file(write(WHOLE))
    assert (read.name, read.stop, read.takes_examples) == ("mine", ("\n", "END"), True)
    assert read.template.prediction == "word"
    assert read.template.prompt("who?", [("q", "a")]) == (
        "Answer.\n\nQuestion: q\nAnswer: a\n\nQuestion: who?\nAnswer:"
    )


def test_the_examples_of_the_page_and_of_the_help_are_prompt_files(write):
    """The one that people will copy."""
    page = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text()
    (on_page,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    in_help = PROMPT_FILE_HELP.split("needed:", 1)[1]
    read = [read_prompt_file(write(text)) for text in (on_page, in_help)]
    assert read[0] == read[1]
    assert read[0].template.prompt("who?", [("q", "a")]) == (
        "Answer shortly.\n\nQuestion: q\nAnswer: a\n\nQuestion: who?\nAnswer:"
    )


def test_a_question_is_enough_and_no_text_is_added(write):
    read = read_prompt_file(write("question = '>{question}<'"))
    assert read.template == Template(
        instruction="", gap="", example="", question=">{question}<", cue=""
    )
    assert (read.stop, read.takes_examples) == (None, False)
    assert read.template.prompt(" who?\n", []) == "> who?\n<"


def test_an_instruction_is_followed_by_what_the_file_says_and_nothing_else(write):
    read = read_prompt_file(write("instruction = 'Answer:'\nquestion = ' {question}'"))
    assert read.template.prompt("who?", []) == "Answer: who?"


def test_an_empty_list_of_stop_strings_is_kept_apart_from_none_given(write):
    assert read_prompt_file(write("question = '{question}'\nstop = []")).stop == ()


def test_a_byte_order_mark_and_windows_line_ends_are_no_text(write):
    read = read_prompt_file(write(b"\xef\xbb\xbfquestion = '{question}'\r\ncue = 'A:'\r\n"))
    assert (read.template.question, read.template.cue) == ("{question}", "A:")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my prompt (v2).toml", "my-prompt-v2"),
        ("a..b.toml", "a-b"),
        ("é.toml", "file"),
        ("v1.2.toml", "v1.2"),
    ],
)
def test_the_name_of_a_file_is_made_safe_for_run_names(write, file, name):
    assert read_prompt_file(write("question = '{question}'", file)).name == name


REFUSED = [
    ("question = ", "line 1: no valid TOML: Invalid value"),
    ("question = '{question}'\ncue = 'A\n", "line 2: no valid TOML"),
    ("question = '{question}'\n\n\ncue ? 1", "line 4, column 5: no valid TOML"),
    ("cue = 'a'\ncue = 'b'\n", "line 2, column 10: no valid TOML: Cannot overwrite"),
    ("question = '{question}'\nQuestion = 'x'", "line 2: the key 'Question' is not known"),
    ("question = '{question}'\n[table]\nx = 1", "line 2: the key 'table' is not known"),
    ("question = '{question}'\n a.b = 1", "line 2: the key 'a' is not known"),
    ("cue = 'A:'", "the key `question` is missing"),
    ("", "the key `question` is missing"),
    ("\nquestion = 7", "line 2: question must be a text in quotes, and is 7"),
    (MULTILINE, "line 6: cue must be a text in quotes, and is 8"),
    ("question = 'who?'", "line 1: question has no place {question}"),
    ("question = '{question}'\nexample = '{question}'", "line 2: example has no place {answer}"),
    (
        "example = ''\nquestion = '{question}'",
        "example has no place {question} and no place {answer}",
    ),
    ("question = '{question}'\nstop = 'x'", "line 2: stop must be a list of texts"),
    ("question = '{question}'\nstop = ['x', 1]", "line 2: stop must be a list of texts"),
    ("question = '{question}'\nstop = ['']", "line 2: stop gives a stop string of 0 characters"),
    ("question = '{question}'\nprediction = 'all'", "line 2: prediction must be line or word"),
    (b"question = '{question}'\ncue = '\xff'", "line 2: the text is not UTF-8"),
    ("#" * 65_537, "more than 65536 bytes"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED)
def test_a_mistake_is_one_sentence_with_the_file_and_the_line(write, content, words):
    with pytest.raises(UsageError) as refused:
        read_prompt_file(write(content))
    sentence = str(refused.value)
    assert sentence.startswith("--prompt mine.toml")
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize("path", ["nowhere.toml", ".", "Chat", "a\0b"])
def test_a_file_that_is_not_there_names_all_three_possibilities(write, path):
    with pytest.raises(UsageError, match="is neither plain nor chat, nor a prompt file"):
        read_prompt_file(path)


@pytest.mark.parametrize("file", ["chat.toml", "shared.toml", "thinking9.toml"])
def test_a_file_named_like_an_option_is_refused(write, file):
    """A run `avg-5-chat` was asked by the model's chat template."""
    with pytest.raises(UsageError, match="give the file another name"):
        read_prompt_file(write("question = '{question}'", file))
