"""The prefix cache: the head of a prompt format, computed once and kept.

It holds what all prompts of a run begin with: the instruction, the few-shot examples and the words
before the question itself (`Q:`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from common.layout import PromptFrame
from worker.engine.kv_cache import KVCache
from worker.engine.model_runner import ModelRunner
from worker.engine.prefix_tree import Pack
from worker.engine.request import Request
from worker.engine.segments import PrefixSplitter, Segment
from worker.model.tokenizer import PromptTokenizer

_KEPT_PREFIXES = 8
"""Writing paraphrases alternates between prefixes, one for each paraphrase."""


@dataclass(frozen=True)
class CachedPrefix:
    """Keys and values of a prefix, and the splitter that cuts prompts behind the prefix."""

    splitter: PrefixSplitter
    cache: KVCache

    def cut_at(self, ends: Collection[int]) -> "CachedPrefix":
        """Return the same keys in segments that end also after so many tokens.

        The keys of a token depend on those before it alone, so a prompt that begins with a part of
        the prefix reads that part.
        """
        tokens = tuple(token for cut in self.splitter.cuts for token in cut)
        inside = {end for end in ends if 0 < end < len(tokens)}
        if not inside:
            return self
        bounds = sorted({0, len(self.splitter.cuts[0]), len(tokens), *inside})
        cuts = tuple(tokens[first:end] for first, end in pairwise(bounds))
        splitter = PrefixSplitter(cuts, self.splitter.movable)
        spans = (range(first, end) for first, end in pairwise(bounds))
        slots = dict(zip(prefix_segments(splitter), spans, strict=True))
        return CachedPrefix(splitter, KVCache(self.cache.keys, self.cache.values, slots))


class PrefixCache:
    """Prefixes of the last requests. none: the empty prefix."""

    def __init__(self, runner: ModelRunner, tokenizer: PromptTokenizer) -> None:
        self._runner, self._tokenizer = runner, tokenizer
        self._prefixes: dict[object, CachedPrefix] = {}
        self.none = CachedPrefix(PrefixSplitter((), runner.geometry.movable), runner.empty_cache())

    def get(self, request: Request, ends: Collection[int] = ()) -> CachedPrefix:
        """Return the prefix of a request's prompts; computed unless a recent call used the prefix.

        ends: lengths of the prefixes of the samples, where they are shorter.
        """
        key = request.prompt_format
        if key not in self._prefixes:
            while len(self._prefixes) >= _KEPT_PREFIXES:
                del self._prefixes[next(iter(self._prefixes))]
            self._prefixes[key] = self._compute(self._tokenizer.frame(key))
        return self._prefixes[key].cut_at(ends)

    def _compute(self, frame: PromptFrame) -> CachedPrefix:
        splitter = prefix_splitter(frame, self.none.splitter.movable)
        segments = prefix_segments(splitter)
        if any(max(s.tokens) >= self._runner.geometry.num_ids for s in segments):
            return self.none  # The model can read no prompt; the plan of each sample says so.
        return CachedPrefix(splitter, self._runner.prefill(Pack.of(segments), self.none.cache))


def prefix_segments(splitter: PrefixSplitter) -> list[Segment]:
    """Return the segments between the cuts of a `prefix_splitter`, each after those it sees."""
    tokens = tuple(token for cut in splitter.cuts for token in cut)
    return [ref.segment for ref in splitter.refs(tokens, 0, ())]


def prefix_splitter(frame: PromptFrame, movable: bool) -> PrefixSplitter:
    """Return a splitter that cuts after the BOS and after the head of all prompts."""
    return PrefixSplitter((frame.bos, frame.head[len(frame.bos) :]), movable)
