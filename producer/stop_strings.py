r"""Stop strings as people write them: escapes for the command line, and what a run takes.

>>> unescape(r"a\n\\b")
'a\n\\b'
"""

import re
from collections.abc import Sequence

from common.errors import UsageError
from common.limits import MAX_STOP_LENGTH, MAX_STOP_STRINGS

_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}


def unescape(text: str) -> str:
    r"""Put newlines and tabs for `\n` and `\t`, and a backslash for `\\`.

    Raises UsageError for another character behind a backslash, or none.
    """
    unknown = next((e[0] for e in _ESCAPE.finditer(text) if e[1] not in _ESCAPED), None)
    if unknown is not None:
        raise UsageError(
            f"--stop {text!r} holds {unknown!r}, which is no escape: \\n is a newline, \\t a tab "
            "and \\\\ a backslash"
        )
    return _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], text)


def check_stop(stop: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the stop strings, each once. where: what names them, such as `--stop`.

    Raises UsageError if there are too many, or one is empty or too long.
    """
    if len(stop) > MAX_STOP_STRINGS:
        raise UsageError(
            f"{where} gives {len(stop)} stop strings; {MAX_STOP_STRINGS} are the most"
        )
    for text in stop:
        if not 1 <= len(text) <= MAX_STOP_LENGTH:
            raise UsageError(
                f"{where} gives a stop string of {len(text)} characters; "
                f"1 to {MAX_STOP_LENGTH} are taken"
            )
    return tuple(dict.fromkeys(stop))
