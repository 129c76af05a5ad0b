"""Text -> the token pieces of a sample, and tokens -> text."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from common.layout import Pieces, TokenIds
from common.prompts import Example, Template
from worker.engine.decode import EOS, NEWLINE


class PromptTokenizer:
    """Tokenises prompt pieces apart; a BOS only where the tokenizer adds one by itself."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.bos = self._added_bos()

    def _added_bos(self) -> TokenIds:
        plain = self._ids(["a"])[0]
        added = tuple(self._tokenizer(["a"])["input_ids"][0])
        leading = added[: len(added) - len(plain)] if added[-len(plain) :] == plain else added[:1]
        return leading[:1] if leading[:1] == (self._tokenizer.bos_token_id,) else ()

    def _ids(self, texts: Sequence[str]) -> list[TokenIds]:
        encoded = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [tuple(ids) for ids in encoded]

    def pieces(
        self, wordings: Sequence[str], template: Template, few_shot: Sequence[Example]
    ) -> Pieces:
        """The pieces of one sample."""
        return self.pieces_of([wordings], template, few_shot)[0]

    def pieces_of(
        self,
        samples: Sequence[Sequence[str]],
        template: Template,
        few_shot: Sequence[Example],
    ) -> list[Pieces]:
        """The pieces of samples, each given as its wordings, by one call of the tokenizer."""
        texts = [template.prefix(few_shot), template.cue]
        texts += [template.segment(w) for wordings in samples for w in wordings]
        texts += [template.prompt(w, few_shot) for wordings in samples for w in wordings]
        prefix, cue, *rest = self._ids(texts)
        segments, prompts = iter(rest[: len(rest) // 2]), iter(rest[len(rest) // 2 :])
        return [
            Pieces(
                self.bos,
                prefix,
                tuple(islice(segments, len(wordings))),
                cue,
                tuple(islice(prompts, len(wordings))),
            )
            for wordings in samples
        ]

    def text(self, tokens: Sequence[int]) -> str:
        """The decoded text, special tokens left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def literal(self, token: int) -> str:
        """One token as text that hides nothing, for people: `<|im_start|>`, ` who`, `\\xe6`.

        Special tokens by name, the leading space always, bytes that are no whole character as
        escapes.
        """
        entry = str(self._tokenizer.convert_ids_to_tokens(token))
        if token in self._tokenizer.added_tokens_decoder:
            return entry
        text = str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
        if "\ufffd" in text:
            return _bytes_of(entry).decode(errors="backslashreplace")
        return f" {text}" if entry.startswith("▁") and text[:1] != " " else text

    def stops(self, vocabulary: int, eos_ids: Sequence[int]) -> Tensor:
        """For each id whether it ends an answer: it holds a newline, or is an EOS; int [V]."""
        stops = torch.zeros(vocabulary, dtype=torch.long)
        texts = self._tokenizer.batch_decode([[i] for i in range(len(self._tokenizer))])
        for i, text in enumerate(texts):
            if "\n" in text and i < vocabulary:
                stops[i] = NEWLINE
        stops[list(eos_ids)] = EOS
        return stops


def _bytes_of(entry: str) -> bytes:
    """The bytes of an entry of a byte-level vocabulary; of any other, its own.

    >>> _bytes_of("Ġæ"), _bytes_of("<0xE6>")
    (b' \\xe6', b'<0xE6>')
    """
    of = {sign: byte for byte, sign in bytes_to_unicode().items()}
    return bytes(of[sign] for sign in entry) if of.keys() >= set(entry) else entry.encode()


def common_prefix(a: TokenIds, b: TokenIds) -> TokenIds:
    """The tokens two sequences begin with.

    >>> common_prefix((1, 2, 3), (1, 2, 9, 3))
    (1, 2)
    """
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    return a[: min(len(a), len(b)) if length is None else length]
