"""Prompt pieces -> tokens, and tokens -> text."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from common.errors import StopRun
from common.layout import PromptTokens, TokenIds
from common.prompts import Example, Template

RUNNING, NEWLINE, EOS = range(3)
"""What a token does to the answer it is in: the answer goes on, or ends for one of two reasons."""

_PROBE = "What is 7?"
"""A text to examine a tokenizer with: it holds words, a digit and a punctuation mark."""


class PromptTokenizer:
    """Tokenizes the pieces of prompts separately.

    bos: the tokens that the tokenizer itself puts before a text, in their order: none, a BOS, or
    several, such as `[gMASK]<sop>`. They stand once, at the start of a prompt. Tokens that it
    puts behind a text (an EOS, a separator) are left out, because a prompt is continued.

    Raises StopRun if the tokenizer gives a text other tokens once it adds special tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.bos = self._put_before_a_text()
        (self._newline,) = self._ids(["\n"])
        self._puts_space_first = self._inside([_PROBE]) != self._ids([_PROBE])

    def _put_before_a_text(self) -> TokenIds:
        (plain,) = self._ids([_PROBE])
        added = tuple(self._tokenizer([_PROBE])["input_ids"][0])
        for start in range(len(added) - len(plain) + 1):
            if _begins(added[start:], plain):
                return added[:start]
        raise StopRun(
            f"the model's tokenizer makes {list(plain)} of {_PROBE!r}, and {list(added)} with its "
            "special tokens; these must stand around the others, so it cannot be used here"
        )

    def _ids(self, texts: Sequence[str]) -> list[TokenIds]:
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [tuple(ids) for ids in encoded]

    def _inside(self, texts: Sequence[str]) -> list[TokenIds]:
        """The tokens of texts that follow a newline.

        A SentencePiece tokenizer puts a space before every text, but no space stands there
        inside a prompt. So each text is tokenized behind a newline, whose tokens are then
        removed. A text whose first token swallows the newline is tokenized alone.
        """
        newline = self._newline
        encoded = dict(zip(texts, self._ids([f"\n{text}" for text in texts]), strict=True))
        merged = [text for text, ids in encoded.items() if not _begins(ids, newline)]
        inside = {text: ids[len(newline) :] for text, ids in encoded.items()}
        inside |= dict(zip(merged, self._ids(merged), strict=True))
        return [inside[text] for text in texts]

    def pieces(
        self, paraphrases: Sequence[str], template: Template, few_shot: Sequence[Example]
    ) -> PromptTokens:
        """The pieces of one sample."""
        return self.pieces_of([paraphrases], template, few_shot)[0]

    def pieces_of(
        self,
        samples: Sequence[Sequence[str]],
        template: Template,
        few_shot: Sequence[Example],
    ) -> list[PromptTokens]:
        """The pieces of many samples, each given as its paraphrases, tokenized in one call."""
        paraphrases = [paraphrase for sample in samples for paraphrase in sample]
        prefix_text = template.prefix(few_shot)
        prefix, *prompts = self._ids(
            [prefix_text, *(template.prompt(p, few_shot) for p in paraphrases)]
        )
        inside = self._inside if self._puts_space_first else self._ids
        (cue,) = inside([template.cue])
        tokenize = inside if prefix_text else self._ids
        segments = tokenize([template.segment(p) for p in paraphrases])
        each_prompt, each_segment = iter(prompts), iter(segments)
        return [
            PromptTokens(
                self.bos,
                prefix,
                tuple(islice(each_segment, len(sample))),
                cue,
                tuple(islice(each_prompt, len(sample))),
            )
            for sample in samples
        ]

    def text(self, tokens: Sequence[int]) -> str:
        """The decoded text, without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def literal(self, token: int) -> str:
        """One token as readable text that hides nothing: `<|im_start|>`, ` who`, `\\xe6`.

        Special tokens appear by name, leading spaces are kept, and bytes that are no whole
        character are escaped.
        """
        entry = str(self._tokenizer.convert_ids_to_tokens(token))
        if token in self._tokenizer.added_tokens_decoder:
            return entry
        text = str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
        if "\ufffd" in text:
            return _bytes_of(entry).decode(errors="backslashreplace")
        return f" {text}" if entry.startswith("▁") and text[:1] != " " else text

    def stops(self, vocabulary: int, eos_ids: Sequence[int]) -> Tensor:
        """For each token id, EOS or NEWLINE if it ends an answer, else RUNNING; int64 [V].

        A token ends an answer if it is an EOS or its text holds a newline.
        """
        stops = torch.zeros(vocabulary, dtype=torch.long)
        texts = self._tokenizer.batch_decode([[i] for i in range(len(self._tokenizer))])
        for i, text in enumerate(texts):
            if "\n" in text and i < vocabulary:
                stops[i] = NEWLINE
        stops[list(eos_ids)] = EOS
        return stops


def _begins(tokens: TokenIds, start: TokenIds) -> bool:
    return tokens[: len(start)] == start


def _bytes_of(entry: str) -> bytes:
    """The bytes that a vocabulary entry stands for; the entry's own if it is not byte-level.

    >>> _bytes_of("Ġæ"), _bytes_of("<0xE6>")
    (b' \\xe6', b'<0xE6>')
    """
    bytes_of = {sign: byte for byte, sign in bytes_to_unicode().items()}
    if bytes_of.keys() >= set(entry):
        return bytes(bytes_of[sign] for sign in entry)
    return entry.encode()


def common_prefix(a: TokenIds, b: TokenIds) -> TokenIds:
    """The tokens with which both sequences begin.

    >>> common_prefix((1, 2, 3), (1, 2, 9, 3))
    (1, 2)
    """
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    return a[: min(len(a), len(b)) if length is None else length]
