"""Prompts -> tokens, and tokens -> text."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from common.errors import StopRun
from common.layout import PromptFrame, PromptTokens, TokenIds, cut_frame, cut_prompts
from common.layout.cut import PROBES
from common.prompts import PromptFormat
from worker.model.chat import ChatTemplate

_PROBE = "What is 7?"
"""A text to examine a tokenizer with: it holds words, a digit and a punctuation mark."""

_KEPT_FRAMES = 16
"""Writing paraphrases alternates between formats, one for each paraphrase."""

RUNNING, NEWLINE, EOS = range(3)
"""What a token does to the answer it is in: the answer goes on, or ends for one of two reasons."""


class PromptTokenizer:
    """Tokenizes whole prompts, and cuts them where the prompts of a sample agree.

    bos: the tokens that the tokenizer itself puts before a plain text, in their order: none, a
    BOS, or several, such as `[gMASK]<sop>`. Tokens that it puts behind a text (an EOS, a
    separator) are left out, because a prompt is continued. A chat template writes both itself.

    Raises StopRun if the tokenizer gives a text other tokens once it adds special tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.bos = self._put_before_a_text()
        self.chat = ChatTemplate(tokenizer)
        self.frame = lru_cache(_KEPT_FRAMES)(self._frame)

    def _put_before_a_text(self) -> TokenIds:
        (plain,) = self._ids([_PROBE])
        added = tuple(self._tokenizer([_PROBE])["input_ids"][0])
        for start in range(len(added) - len(plain) + 1):
            if added[start:][: len(plain)] == plain:
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

    def texts(self, prompt_format: PromptFormat, paraphrases: Sequence[str]) -> list[str]:
        """The literal prompt of each paraphrase. Raises StopRun without a usable chat template."""
        if prompt_format.style == "chat":
            return self.chat.prompts(prompt_format, paraphrases)
        template, few_shot = prompt_format.template, prompt_format.few_shot
        return [template.prompt(paraphrase, few_shot) for paraphrase in paraphrases]

    def tokens(self, prompt_format: PromptFormat, paraphrases: Sequence[str]) -> list[TokenIds]:
        """The tokens of the whole prompt of each paraphrase; all tokenized in one call."""
        bos = () if prompt_format.style == "chat" else self.bos
        return [bos + ids for ids in self._ids(self.texts(prompt_format, paraphrases))]

    def _frame(self, prompt_format: PromptFormat) -> PromptFrame:
        """What all prompts of a format begin and end with."""
        return cut_frame(self.tokens(prompt_format, PROBES), self.bos)

    def digest(self, prompt_format: PromptFormat) -> str:
        """A hash of the texts and tokens of a format's prompts, by which workers are compared."""
        prompts = [self.texts(prompt_format, PROBES), self.tokens(prompt_format, PROBES)]
        return hashlib.sha256(json.dumps(prompts).encode()).hexdigest()

    def cut(self, prompt_format: PromptFormat, paraphrases: Sequence[str]) -> PromptTokens:
        """The prompts of one sample."""
        return self.cut_all(prompt_format, [paraphrases])[0]

    def cut_all(
        self, prompt_format: PromptFormat, samples: Sequence[Sequence[str]]
    ) -> list[PromptTokens]:
        """The prompts of many samples, each given as its paraphrases."""
        frame = self.frame(prompt_format)
        tokens = iter(self.tokens(prompt_format, [text for sample in samples for text in sample]))
        return [cut_prompts(frame, tuple(islice(tokens, len(sample)))) for sample in samples]

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


def _bytes_of(entry: str) -> bytes:
    """The bytes that a vocabulary entry stands for; the entry's own if it is not byte-level.

    >>> _bytes_of("Ġæ"), _bytes_of("<0xE6>")
    (b' \\xe6', b'<0xE6>')
    """
    bytes_of = {sign: byte for byte, sign in bytes_to_unicode().items()}
    if bytes_of.keys() >= set(entry):
        return bytes(bytes_of[sign] for sign in entry)
    return entry.encode()
