"""Tokens as a person reads them: nothing invisible, nothing that breaks a line."""

import unicodedata

_SIGNS = {" ": "·", "\n": "⏎", "\t": "⇥"}


def label(text: str) -> str:
    """A token's text in visible signs: · for a space, ⏎ for a newline, escapes for the rest.

    >>> label(" who"), label("?\\n"), label("<|im_start|>"), label(" 日"), label("\\x07")
    ('·who', '?⏎', '<|im_start|>', '·日', '\\\\x07')
    """
    # A combining mark at the start would sit on its neighbour in the picture.
    bare = text[:1] if unicodedata.combining(text[:1] or " ") else ""
    return bare.encode("unicode_escape").decode() + "".join(map(_sign, text[len(bare) :]))


def _sign(character: str) -> str:
    if character in _SIGNS or character.isprintable():
        return _SIGNS.get(character, character)
    return character.encode("unicode_escape").decode()
