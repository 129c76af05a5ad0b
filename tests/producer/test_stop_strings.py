"""producer.stop_strings: escapes of the command line, and what is taken as a stop string."""

import pytest

from common.errors import UsageError
from producer.stop_strings import check_stop, unescape


@pytest.mark.parametrize(
    ("typed", "literal"),
    [("\\n", "\n"), ("\\t\\t", "\t\t"), ("\\\\n", "\\n"), ("a\\\\\\nb", "a\\\nb"), ("é !", "é !")],
)
def test_the_three_escapes_are_what_they_name(typed, literal):
    assert unescape(typed) == literal


@pytest.mark.parametrize(("typed", "named"), [("a\\q", r"\\q"), ("a\\", r"\\'"), ("\\r", r"\\r")])
def test_another_escape_is_refused_by_name(typed, named):
    with pytest.raises(UsageError) as refused:
        unescape(typed)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sixteen_strings_of_a_hundred_characters_are_the_most():
    stop = tuple(chr(ord("a") + n) * 100 for n in range(16))
    assert check_stop(stop, "--stop") == stop


def test_a_string_that_is_given_twice_counts_once():
    assert check_stop(["b", "a", "b"], "--stop") == ("b", "a")


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (["x"] * 17, "17 stop strings; 16"),
        (["a", ""], "of 0 characters; 1 to 100"),
        (["é" * 101], "of 101 characters; 1 to 100"),
    ],
)
def test_more_longer_and_empty_ones_are_refused(stop, words):
    with pytest.raises(UsageError, match=f"^--stop gives .*{words}"):
        check_stop(stop, "--stop")
