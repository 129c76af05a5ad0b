"""Columns of a file: the names that it has, and the names that a data set has read."""

import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ALIKE = re.compile(
    r".*(answer|alias|paraphras|rephras|wording|reformulat).*|(gold|target|reference)s?|truths?"
)
_ABOUT = {
    "char", "count", "end", "id", "ids", "incorrect", "index", "lang", "language", "len", "length",
    "num", "number", "offset", "score", "scores", "source", "span", "start", "type", "types",
    "url", "wrong",
}  # fmt: skip


class Columns:
    """Names of columns, gathered while the rows of a file are read.

    present: columns that some row has. read: columns that were asked for in any row.
    whole_float: the first row, in words, whose answer is a text such as `1984.0`.
    """

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.read: set[str] = set()
        self.whole_float: str | None = None

    def notes(self) -> tuple[str, ...]:
        """Sentences for the person, complete once all rows were read."""
        return (*self._missed(), *self._floats())

    def _floats(self) -> tuple[str, ...]:
        """A note, not a repair: only the person knows whether a data frame turned 1984 into it."""
        if self.whole_float is None:
            return ()
        return (
            f"an answer is written like 1984.0 ({self.whole_float}, and maybe others); a text is "
            "taken as it is, so that 1984 would be wrong: write whole numbers without a point",
        )

    def _missed(self) -> tuple[str, ...]:
        missed = sorted(filter(looks_like_texts, self.present - self.read))
        if not missed:
            return ()
        names = ", ".join(map(repr, missed))
        return (
            f"columns not read, though their names promise answers or paraphrases: {names}; "
            f"read: {', '.join(map(repr, sorted(self.present & self.read)))}. Rename those that "
            "should count, as docs/datasets.md has them",
        )


def looks_like_texts(name: str) -> bool:
    """Whether the name of a column promises answers or paraphrases.

    >>> [looks_like_texts(n) for n in ("answer_aliases", "paraphrase-1", "Gold", "goldAnswers")]
    [True, True, True, True]
    >>> [looks_like_texts(n) for n in ("answer_start", "num_answers", "context", "golden")]
    [False, False, False, False]
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    return any(map(_ALIKE.fullmatch, words)) and _ABOUT.isdisjoint(words)
