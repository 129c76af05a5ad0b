"""Stop strings and reasoning marks as an automaton over tokens: state x token -> next state.

Aho and Corasick's automaton (1975) reads the bytes of the texts. The bytes of every token are run
through it from every state, so that decoding needs one look-up per token. Imports no torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from worker.engine.answer_end import EOS, LENGTH, EndRules, stop_reason

LENGTH_STATE, EOS_STATE, _FIRST_STOP = range(3)


States = NDArray[np.int32]
"""Numbers of states."""


@dataclass(frozen=True)
class StopAutomaton:
    """The states of an answer: final ones, then those outside of reasoning, then those inside.

    by_byte: next state, int32 [S, 256]; a final state is never left. by_token: int16 [S, V].
    reasons: of the final states 0 ... len(reasons) - 1. first_reasoning: the first state inside
    of reasoning; S if there is none. begin: the state before the first token.
    """

    by_byte: States
    by_token: NDArray[np.int16]
    reasons: tuple[str, ...]
    first_reasoning: int
    begin: int

    @property
    def has_reasoning(self) -> bool:
        return self.first_reasoning < len(self.by_byte)

    def reasoning_end(self, text: bytes) -> int:
        """Return where the reasoning of an answer ends, in bytes: behind its last end mark.

        At the end of the text, if that is inside of reasoning; 0 if there is no reasoning.
        """
        state, end = self.begin, 0
        for place, byte in enumerate(text, 1):
            before, state = state, int(self.by_byte[state, byte])
            if before >= self.first_reasoning > state:
                end = place
        return len(text) if state >= self.first_reasoning else end


def split_reasoning(automaton: StopAutomaton, tokens: Sequence[bytes]) -> tuple[int, bytes]:
    """Return how many tokens of an answer are reasoning, and what the last holds of the answer.

    tokens: the bytes of each. A token in which the reasoning ends counts; of it, the bytes behind
    the end mark belong to the answer.
    """
    end = automaton.reasoning_end(b"".join(tokens))
    ends = list(accumulate(map(len, tokens)))
    number = sum(e < end for e in ends) + 1 if end else 0
    return number, b"".join(tokens[:number])[end:]


def build_automaton(rules: EndRules, token_bytes: Sequence[bytes]) -> StopAutomaton:
    """Build the automaton of some rules. token_bytes: of each id of the vocabulary.

    An id without bytes changes no state.
    """
    reasons = (LENGTH, EOS, *map(stop_reason, rules.stop))
    finals = np.repeat(np.arange(len(reasons), dtype=np.int32)[:, None], 256, axis=1)
    modes = _modes(rules, len(reasons))
    by_byte = np.concatenate([finals, *modes])
    normal, reasoning = len(reasons), len(reasons) + len(modes[0])
    by_token = _run_tokens(by_byte, (normal, reasoning)[: len(modes)], token_bytes)
    by_token[normal:, list(rules.eos_ids)] = EOS_STATE
    begin = reasoning if rules.marks and rules.begins_in_reasoning else normal
    return StopAutomaton(by_byte, by_token, reasons, reasoning, begin)


def _modes(rules: EndRules, first: int) -> list[States]:
    """The states outside of reasoning, from number `first` on, and those inside, if any are."""
    stop = {text.encode(): _FIRST_STOP + i for i, text in reversed([*enumerate(rules.stop)])}
    if rules.marks is None:
        return [_aho_corasick(stop, first)]
    start, end = rules.marks.start.encode(), rules.marks.end.encode()
    inside = first + len(_prefixes([*stop, start]))
    return [_aho_corasick({start: inside} | stop, first), _aho_corasick({end: first}, inside)]


def _prefixes(texts: Iterable[bytes]) -> dict[bytes, int]:
    """Number all beginnings of the texts, the shortest first."""
    found = {b"", *(text[:n] for text in texts for n in range(1, len(text) + 1))}
    ordered = sorted(found, key=lambda prefix: (len(prefix), prefix))
    return {prefix: number for number, prefix in enumerate(ordered)}


def _aho_corasick(leads_to: Mapping[bytes, int], first: int) -> States:
    """Return the next states of an automaton that finds texts, int32 [N, 256].

    leads_to: for each text the state once it is complete, the longest of those that end together.
    first: number of the first state. A state stands for the longest end of what was read that is
    the beginning of a text.
    """
    prefixes = _prefixes(leads_to)
    states = np.full((len(prefixes), 256), first, dtype=np.int32)
    complete: dict[bytes, int] = {}
    for prefix in filter(None, prefixes):
        end = _longest_end(prefix, prefixes)
        if (state := leads_to.get(prefix, complete.get(end))) is not None:
            complete[prefix] = state
    for prefix, number in prefixes.items():
        states[number] = states[prefixes[_longest_end(prefix, prefixes)]]
        for byte in range(256):
            if (longer := prefix + bytes([byte])) in prefixes:
                states[number, byte] = complete.get(longer, first + prefixes[longer])
    return states


def _longest_end(text: bytes, prefixes: Mapping[bytes, int]) -> bytes:
    """The longest end of a text, not the text itself, that is among the prefixes."""
    return next((text[i:] for i in range(1, len(text)) if text[i:] in prefixes), b"")


def _run_tokens(
    by_byte: States, roots: Sequence[int], token_bytes: Sequence[bytes]
) -> NDArray[np.int16]:
    """Return the state that each token leads to from each state, int16 [S, V].

    roots: the first state of each mode. Where a token's first byte leads to the state to which it
    leads from the root, the token does so, too: few tokens have to be run from other states.
    """
    text = np.frombuffer(b"".join(token_bytes) + b"\0", dtype=np.uint8).astype(np.int32)
    lengths = np.fromiter(map(len, token_bytes), dtype=np.int64, count=len(token_bytes))
    starts = lengths.cumsum() - lengths
    empty, filled = (lengths == 0).nonzero()[0], lengths.nonzero()[0]
    first_bytes = text[starts[filled]]
    begin_with = [filled[first_bytes == byte] for byte in range(256)]
    table = np.empty((len(by_byte), len(token_bytes)), dtype=np.int16)
    table[:] = np.arange(len(by_byte))[:, None]
    for root, end in pairwise([*roots, len(by_byte)]):
        table[root, filled] = _run(by_byte, root, text, starts[filled], lengths[filled])
        for state in range(root + 1, end):
            table[state] = table[root]
            table[state, empty] = state
            bytes_apart = (by_byte[state] != by_byte[root]).nonzero()[0]
            apart = np.concatenate([empty[:0], *(begin_with[byte] for byte in bytes_apart)])
            table[state, apart] = _run(by_byte, state, text, starts[apart], lengths[apart])
    return table


def _run(
    by_byte: States,
    state: int,
    text: States,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> States:
    """Return the states after parts of the text, each read from the same state, int32 [N]."""
    flat, reached = by_byte.ravel(), np.full(len(starts), state, dtype=np.int32)
    for place in range(int(lengths.max(initial=0))):
        longer = (lengths > place).nonzero()[0]
        reached[longer] = flat.take(reached[longer] * 256 + text[starts[longer] + place])
    return reached
