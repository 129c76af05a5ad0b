"""The bytes that each token of a vocabulary stands for, in the middle of a text.

A stop string may end inside a token, and a character may be spread over several: so answers are
searched byte by byte. Imports no torch.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

ToBytes = Callable[[str], bytes]
"""An entry of a vocabulary -> its bytes."""

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_BLANK = "▁"
_CONTINUES = "##"


class TokenBytes:
    """The bytes of a tokenizer's tokens: of added tokens their content, special or not.

    An added token that names a byte, such as `<0x0A>`, is read as by the decoder.

    Spaces are those in the middle of a text: a decoder may leave out the very first space.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def by_id(self) -> list[bytes]:
        """The bytes of each token; none for an id that the tokenizer does not have."""
        entries, added = self._tokenizer.get_vocab(), self._tokenizer.added_tokens_decoder
        known = [b""] * (1 + max([-1, *entries.values(), *added]))
        to_bytes = self._to_bytes
        for entry, token in entries.items():
            known[token] = to_bytes(entry)
        for token, each in added.items():
            if not _BYTE.fullmatch(each.content):
                known[token] = str(each.content).encode()
        return known

    @cached_property
    def _to_bytes(self) -> ToBytes:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return _by_its_entries(self._tokenizer.get_vocab())
        return by_decoder(json.loads(backend.decoder.__getstate__()) if backend.decoder else None)


def by_decoder(decoder: Mapping[str, Any] | None) -> ToBytes:
    """Return what a decoder of the tokenizers library makes of an entry.

    decoder: its JSON; None for a tokenizer without one, which joins entries with spaces.

    >>> by_decoder({"type": "ByteLevel"})("Ġæ")
    b' \\xe6'
    >>> by_decoder({"type": "WordPiece", "prefix": "##"})("Rome")
    b' Rome'
    """
    if decoder is None:
        return lambda entry: b" " + entry.encode()
    steps = {step["type"]: step for step in _steps(decoder)}
    if "ByteLevel" in steps:
        return _byte_level
    if "WordPiece" in steps:
        prefix = str(steps["WordPiece"].get("prefix", _CONTINUES))
        return lambda entry: _word_piece(entry, prefix)
    if "BPEDecoder" in steps:
        suffix = str(steps["BPEDecoder"]["suffix"])
        return lambda entry: entry.replace(suffix, " ").encode()
    blank = str(steps.get("Metaspace", {}).get("replacement", _BLANK))
    return lambda entry: _sentence_piece(entry, blank)


def _steps(decoder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if decoder["type"] != "Sequence":
        yield decoder
    for step in decoder.get("decoders", ()):
        yield from _steps(step)


def _by_its_entries(vocabulary: Mapping[str, int]) -> ToBytes:
    """Return how to read entries of a tokenizer written in Python, which has no decoder to ask."""
    if any(entry.startswith("Ġ") for entry in vocabulary):
        return _byte_level
    if any(entry.startswith(_CONTINUES) for entry in vocabulary):
        return lambda entry: _word_piece(entry, _CONTINUES)
    return lambda entry: _sentence_piece(entry, _BLANK)


_BYTES = {sign: byte for byte, sign in bytes_to_unicode().items()}


def _byte_level(entry: str) -> bytes:
    """The bytes whose signs an entry holds; the text itself if another sign is among them."""
    try:
        return bytes([_BYTES[sign] for sign in entry])
    except KeyError:
        return entry.encode()


def _sentence_piece(entry: str, blank: str) -> bytes:
    """The text of an entry, or the byte that it names.

    >>> _sentence_piece("▁de", "▁"), _sentence_piece("<0xE6>", "▁")
    (b' de', b'\\xe6')
    """
    if byte := _BYTE.fullmatch(entry):
        return bytes([int(byte[1], 16)])
    return entry.replace(blank, " ").encode()


def _word_piece(entry: str, prefix: str) -> bytes:
    text = entry.removeprefix(prefix)
    return (text if text != entry else f" {entry}").encode()
