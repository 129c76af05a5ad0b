"""Prompts -> tokens, and tokens -> text. Imports no torch."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import islice

from transformers import PreTrainedTokenizerBase

from common.errors import StopRun
from common.layout import PromptFrame, PromptTokens, TokenIds, cut_frame, cut_prompts
from common.layout.cut import PROBES
from common.prompts import PromptFormat
from worker.model.chat import ChatTemplate
from worker.model.reasoning import ReasoningMarks, find_marks
from worker.model.token_bytes import TokenBytes

_PROBE = "What is 7?"
"""A text to examine a tokenizer with: it holds words, a digit and a punctuation mark."""

_KEPT_FRAMES = 16
"""Writing paraphrases alternates between formats, one for each paraphrase."""


class PromptTokenizer:
    """Tokenizes whole prompts, and cuts them where the prompts of a sample agree.

    bos: the tokens that the tokenizer itself puts before a plain text, in their order: none, a
    BOS, or several, such as `[gMASK]<sop>`. Tokens that it puts behind a text (an EOS, a
    separator) are left out, because a prompt is continued. A chat template writes both itself.
    token_bytes: of each id, to find stop strings in answers.

    Raises StopRun if the tokenizer gives a text other tokens once it adds special tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.bos = self._put_before_a_text()
        self.chat = ChatTemplate(tokenizer)
        self.token_bytes = TokenBytes(tokenizer)
        self.frame = lru_cache(_KEPT_FRAMES)(self._frame)
        self.digest = lru_cache(_KEPT_FRAMES)(self._digest)

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
        """The beginning and the ending that all prompts of a format share."""
        return cut_frame(self.tokens(prompt_format, PROBES), self.bos)

    def _digest(self, prompt_format: PromptFormat) -> str:
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

    @cached_property
    def marks(self) -> ReasoningMarks | None:
        """The marks between which the model reasons in a chat; None if it is not known to."""
        return find_marks(self._tokenizer, self.chat.text)

    @cached_property
    def end_of_turn(self) -> int | None:
        """The added token that the chat template writes right behind an answer; None without."""
        behind = self.chat.end_of_turn.lstrip()
        first = next(iter(self._ids([behind])[0]), None)
        return first if first in self._tokenizer.added_tokens_decoder else None

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
            spelled = self.token_bytes.by_id[token].decode(errors="backslashreplace")
            return entry if entry.startswith("<0x") else spelled
        return f" {text}" if entry.startswith("▁") and text[:1] != " " else text
