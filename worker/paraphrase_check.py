"""Decides whether a drawn text counts as a paraphrase. Knows texts only."""

from collections.abc import Sequence

from common.answer_text import ARTICLES, normalize

_FUNCTION_WORDS = """
about after all also am an and any are as at be been before being both but by can could did do
does doing during each few for from further had has have having he her here hers him his how i if
in into is it its just many may me might more most much must my name named no nor not of off on
once one only or other our out over own same shall she should so some such than that the their
them then there these they this those through to too under until up us was we were what when
where which while who whom whose why will with would you your
aren't can't couldn't didn't doesn't don't he's how's isn't it's she's that's there's wasn't
weren't what's when's where's who's won't wouldn't
"""
FUNCTION_WORDS = ARTICLES | frozenset(normalize(_FUNCTION_WORDS).split())

_STEM = 4


def find_problem(text: str, others: Sequence[str]) -> str | None:
    """The reason why `text` is no new paraphrase of others[0]; None for a new paraphrase.

    others: the question and the paraphrases that are accepted so far.

        >>> find_problem("who is the author of hamlet?", ["who wrote hamlet?"])
        >>> find_problem("Who wrote Hamlet", ["who wrote hamlet?"])
        'same as the question'
        >>> find_problem("what is your name?", ["who wrote hamlet?"])
        'no content word of the question is left'
    """
    plain = normalize(text)
    if set(plain.split()) <= ARTICLES:
        return "empty"
    for i, other in enumerate(others):
        if normalize(other) == plain:
            return "same as the question" if i == 0 else "same as another paraphrase"
    stems = content_stems(others[0])
    if stems and not stems & content_stems(text):
        return "no content word of the question is left"
    return None


def content_stems(text: str) -> set[str]:
    """The first letters of each content word, so that `writes` matches `writing`."""
    return {word[:_STEM] for word in normalize(text).split() if word not in FUNCTION_WORDS}
