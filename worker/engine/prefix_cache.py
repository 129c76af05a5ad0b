"""The prefix cache: the common beginning of a run's prompts, computed once and kept.

It holds the instruction, the few-shot examples and the words before the question itself (`Q:`).
"""

from dataclasses import dataclass

from transformers import PreTrainedModel

from worker.engine.attention import AttentionBackend
from worker.engine.geometry import geometry_of
from worker.engine.kv_cache import KVCache, prefill
from worker.engine.plan import PrefixSplitter, Segment
from worker.engine.request import Request
from worker.engine.rotary import can_move_keys
from worker.model.tokenizer import PromptTokenizer, common_prefix

_PROBES = ("what", "1")
"""Two questions that begin differently: most prompts begin like the common part of theirs."""

_KEPT_PREFIXES = 8
"""Writing paraphrases alternates between prefixes, one for each paraphrase."""


@dataclass(frozen=True)
class CachedPrefix:
    """Keys and values of a prefix, and the splitter that cuts prompts after it."""

    splitter: PrefixSplitter
    cache: KVCache


class PrefixCache:
    """Prefixes of the last requests. none: the empty prefix."""

    def __init__(self, model: PreTrainedModel, tokenizer: PromptTokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._movable = can_move_keys(model)
        self.none = CachedPrefix(PrefixSplitter((), self._movable), KVCache.empty(model))
        self._prefixes: dict[object, CachedPrefix] = {}

    def get(self, request: Request, backend: AttentionBackend) -> CachedPrefix:
        """Return the prefix of a request's prompts; computed unless a recent call had it."""
        key = (request.template, request.few_shot)
        if key not in self._prefixes:
            while len(self._prefixes) >= _KEPT_PREFIXES:
                del self._prefixes[next(iter(self._prefixes))]
            self._prefixes[key] = self._compute(request, backend)
        return self._prefixes[key]

    def _compute(self, request: Request, backend: AttentionBackend) -> CachedPrefix:
        splitter = prefix_splitter(self._tokenizer, request, self._movable)
        segments = prefix_segments(splitter)
        if any(max(segment.tokens) >= geometry_of(self._model).num_ids for segment in segments):
            return self.none  # The model can read no prompt; the plan of each sample says so.
        return CachedPrefix(splitter, prefill(self._model, backend, segments, self.none.cache))


def prefix_segments(splitter: PrefixSplitter) -> list[Segment]:
    """Return the segments between the cuts of a `prefix_splitter`, each after those it sees."""
    bos, common, lead_in, rest = splitter.cuts
    before = splitter.refs(bos + common, 0, ())
    ends = [splitter.refs(end, len(bos + common), before) for end in (lead_in, rest)]
    return list(dict.fromkeys(ref.segment for refs in (before, *ends) for ref in refs))


def prefix_splitter(tokenizer: PromptTokenizer, request: Request, movable: bool) -> PrefixSplitter:
    """Return a splitter that cuts after the BOS, the common prefix, and its two ends.

    A packed prompt has its prefix tokenized alone, a plain prompt together with the question, and
    the last tokens of the prefix may differ: `\\n\\n` in the one, `\\n`, `\\n`, `Q`, `:` in the
    other. Hence the two ends.
    """
    pieces = tokenizer.pieces(_PROBES, request.template, request.few_shot)
    plain = common_prefix(*pieces.prompts)
    common = common_prefix(pieces.prefix, plain)
    ends = plain[len(common) :], pieces.prefix[len(common) :]
    return PrefixSplitter((pieces.bos, common, *ends), movable)
