"""The prefix cache: what all prompts of a run begin with, computed once and kept.

Instruction and few-shot examples, and the words that lead in the question itself.
"""

from dataclasses import dataclass

from transformers import PreTrainedModel

from worker.engine.attention import AttentionBackend
from worker.engine.kv_cache import KVCache, prefill
from worker.engine.plan import PrefixSplitter, Segment
from worker.engine.request import Request
from worker.engine.rotary import can_move_keys
from worker.model.geometry import geometry_of
from worker.model.tokenizer import PromptTokenizer, common_prefix

_PROBES = ("what", "1")
"""Two questions that begin differently: what their prompts begin with alike, most do."""

_KEPT_PREFIXES = 8
"""Writing paraphrases takes turns between prefixes, one for each paraphrase."""


@dataclass(frozen=True)
class CachedPrefix:
    """A prefix that has been computed, and how prompts are cut so that they meet it."""

    splitter: PrefixSplitter
    done: KVCache


class PrefixCache:
    """The cached prefixes of the last requests."""

    def __init__(self, model: PreTrainedModel, tokenizer: PromptTokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._movable = can_move_keys(model)
        self.none = CachedPrefix(PrefixSplitter((), self._movable), KVCache.empty(model))
        self._kept: dict[object, CachedPrefix] = {}

    def of(self, request: Request, backend: AttentionBackend) -> CachedPrefix:
        """The prefix of a request's prompts, computed unless one of the last calls had it."""
        key = (request.template, request.few_shot)
        if key not in self._kept:
            while len(self._kept) >= _KEPT_PREFIXES:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._compute(request, backend)
        return self._kept[key]

    def _compute(self, request: Request, backend: AttentionBackend) -> CachedPrefix:
        splitter = prefix_splitter(self._tokenizer, request, self._movable)
        segments = prefix_segments(splitter)
        if any(max(segment.tokens) >= geometry_of(self._model).num_ids for segment in segments):
            return self.none  # No prompt can be read: each sample's plan says so.
        return CachedPrefix(splitter, prefill(self._model, backend, segments, self.none.done))


def prefix_segments(splitter: PrefixSplitter) -> list[Segment]:
    """What the cuts of `prefix_splitter` leave, each after those it sees."""
    bos, common, lead_in, rest = splitter.cuts
    before = splitter.views(bos + common, 0, ())
    ends = [splitter.views(end, len(bos + common), before) for end in (lead_in, rest)]
    return list(dict.fromkeys(view.segment for views in (before, *ends) for view in views))


def prefix_splitter(tokenizer: PromptTokenizer, request: Request, movable: bool) -> PrefixSplitter:
    """Cuts after the BOS, the prefix, and what follows it in plain and in packed prompts.

    A prefix is tokenized apart where it is packed, and may end in another token than where a
    question follows: `\\n\\n` there, `\\n`, `\\n`, `Q`, `:` here. So there are two ends to it.
    """
    pieces = tokenizer.pieces(_PROBES, request.template, request.few_shot)
    plain = common_prefix(*pieces.prompts)
    common = common_prefix(pieces.prefix, plain)
    ends = plain[len(common) :], pieces.prefix[len(common) :]
    return PrefixSplitter((pieces.bos, common, *ends), movable)
