"""common.run: run keys, which come from people and queues and become paths, and run names."""

import pytest

from common.errors import UsageError
from common.run import RunKey, run_name

ACCEPTED = [
    "webqa/llama3.2_3b_it/flex_attention-5",
    "a/b/c",
    "0/1/2",
    "d.ata/m+odel/n_a-me.x",
    "quiz/owner--model/per_prompt-6-shared-sequential",
    f"{'d' * 120}/{'m' * 120}/{'n' * 120}",
]

REFUSED = [
    "", "a", "a/b", "a/b/c/d", "/a/b/c", "/a/b", "//", "///", "a//b/c", "a//c", "a/b/",
    "/etc/passwd", "../b/c", "a/../c",
    "a/b/..", "a/b..c/d", "./b/c", "a/./c", "a/.b/c", "-a/b/c", "a/_b/c",
    "a b/c/d", "a/b/c ", " a/b/c", "a/b/c\n", "a/b\t/c", "a/b\0/c", "ä/b/c", "a/模型/c",
    "a\\b/c/d", "a/b:c/d", "a/b*/c", "~/b/c", "a/$b/c", "s3://a/b", f"a/{'m' * 121}/c", "a/b/c%2e",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_key_is_read_and_written_alike(text):
    key = RunKey.parse(text)
    assert str(key) == text
    assert [key.dataset, key.model, key.name] == text.split("/")


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_leave_the_store_or_confuse_a_shell_is_refused(text):
    with pytest.raises(UsageError):
        RunKey.parse(text)


def test_a_trailing_slash_as_shells_complete_it_is_forgiven():
    assert RunKey.parse("a/b/c/") == RunKey("a", "b", "c")


@pytest.mark.parametrize("parts", [("..", "b", "c"), ("a", "b/x", "c"), ("a", "b", "")])
def test_a_key_made_of_parts_is_checked_like_one_that_is_parsed(parts):
    with pytest.raises(UsageError, match="letters, digits and"):
        RunKey(*parts)


def test_a_refusal_shows_the_form_with_an_example():
    with pytest.raises(UsageError, match=r"'webqa' .* dataset/model/name, such as webqa/llama"):
        RunKey.parse("webqa")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("origin", 5, "concat", "sequential"), "origin"),
        (("origin", 1, "shared", "sequential"), "origin"),
        (("avg", 5, "concat", "sequential"), "avg-5"),
        (("avg", 3, "shared", "sequential"), "avg-3"),
        (("max", 64, None, None), "max-64"),
        (("per_prompt", 6, "shared", "aligned"), "per_prompt-6"),
        (("flex_attention", 5, "concat", "sequential"), "flex_attention-5"),
        (("flex_attention", 5, "concat", "aligned"), "flex_attention-5-aligned"),
        (("flex_attention", 5, "shared", "aligned"), "flex_attention-5-shared"),
        (("flex_attention", 5, "shared", "sequential"), "flex_attention-5-shared-sequential"),
        (("flex_attention", 1, None, None), "flex_attention-1"),
        (("origin", 5, None, None, "concat", "chat"), "origin-chat"),
        (("avg", 5, None, None, "concat", "chat", "off"), "avg-5-chat"),
        (("avg", 5, None, None, "concat", "chat", "on"), "avg-5-chat-thinking"),
        (("avg", 5, None, None, "concat", "chat", 512), "avg-5-chat-thinking512"),
        (("max", "m5a5s5", None, None, "concat", "mine"), "max-m5a5s5-mine"),
        (
            ("flex_attention", 5, "shared", "aligned", "concat", "mine"),
            "flex_attention-5-shared-mine",
        ),
    ],
)
def test_a_run_is_named_after_what_differs_from_the_default(arguments, name):
    assert run_name(*arguments) == name
    assert RunKey("webqa", "m", name).name == name


def test_a_run_of_an_unknown_method_has_no_name():
    with pytest.raises(UsageError, match="method 'vote' is not known"):
        run_name("vote", 5, None, None)
