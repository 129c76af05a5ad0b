"""Generated tokens: the output of all ensembles of a bucket, appended step by step."""

import torch
from torch import Tensor

from worker.engine.outputs import Generation
from worker.engine.stop_automaton import LENGTH_STATE
from worker.engine.stop_table import StopTable


class GeneratedTokens:
    """Tokens, log-probabilities and states of `count` ensembles, on the device.

    stops: says which tokens end an answer. max_reasoning_tokens: an answer that is still
    reasoning after so many has to take the end mark; None for no such limit.
    """

    def __init__(
        self,
        count: int,
        max_new_tokens: int,
        stops: StopTable,
        max_reasoning_tokens: int | None = None,
    ) -> None:
        device, automaton = stops.next_state.device, stops.automaton
        self._stops = stops
        self._num_finals = len(automaton.reasons)
        self._max_reasoning_tokens = max_reasoning_tokens if automaton.has_reasoning else None
        self.tokens = torch.zeros(count, max_new_tokens, dtype=torch.long, device=device)
        self.lengths = torch.zeros(count, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(count, max_new_tokens, device=device)
        self.states = torch.full((count,), automaton.begin, device=device)
        self.num_forced = torch.zeros(count, dtype=torch.long, device=device)

    @property
    def max_new_tokens(self) -> int:
        return self.tokens.shape[1]

    def force(self, ids: Tensor) -> Tensor | None:
        """Return the token that each ensemble has to take next, int64 [E]; -1 for any token.

        None if none ever has to. Counts them as taken: the end mark may be several tokens.
        """
        if self._max_reasoning_tokens is None:
            return None
        inside = self.states[ids] >= self._stops.automaton.first_reasoning
        due = inside & (self.lengths[ids] >= self._max_reasoning_tokens)
        place, mark = self.num_forced[ids], self._stops.end_mark
        self.num_forced[ids] = torch.where(due, place + 1, 0)
        return torch.where(due, mark[place % len(mark)], -1)

    def append(self, ids: Tensor, tokens: Tensor, logprobs: Tensor) -> Tensor:
        """Append a token to each ensemble; returns which ones it finishes, bool [E]."""
        lengths = self.lengths[ids]
        self.tokens[ids, lengths] = tokens
        self.logprobs[ids, lengths] = logprobs
        self.lengths[ids] = lengths + 1
        states = self._stops.next_state[self.states[ids], tokens].long()
        full = lengths == self.max_new_tokens - 1
        states = torch.where((states >= self._num_finals) & full, LENGTH_STATE, states)
        self.states[ids] = states
        return states < self._num_finals

    def read(self) -> list[Generation]:
        """Read the answers of all ensembles from the device, in order."""
        rows = zip(
            self.tokens.tolist(),
            self.lengths.tolist(),
            self.logprobs.tolist(),
            self.states.tolist(),
            strict=True,
        )
        return [
            Generation(tuple(t[:n]), tuple(logprobs[:n]), self._stops.automaton.reasons[state])
            for t, n, logprobs, state in rows
        ]
