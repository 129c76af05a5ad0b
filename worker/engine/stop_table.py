"""Stop tables: the automaton of a request's stop strings, on the device that decodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from common.errors import StopRun
from common.prompts import PromptFormat
from worker.engine.answer_end import AnswerText, EndRules
from worker.engine.request import Request
from worker.engine.stop_automaton import StopAutomaton, build_automaton, split_reasoning
from worker.model.tokenizer import PromptTokenizer

_KEPT_TABLES, _KEPT_RULES = 4, 64
"""Writing paraphrases alternates between formats, whose rules are equal."""

_PROBE = "What is 7?"


@dataclass(frozen=True)
class StopTable:
    """The next state of an answer for each token.

    automaton: on the host. next_state: its states by token, int16 [S, V]. end_mark: tokens of the
    mark that ends reasoning, int64 [M]; none where nothing is reasoning.
    """

    automaton: StopAutomaton
    next_state: Tensor
    end_mark: Tensor


class StopTables:
    """The stop tables of a model's answers; the last few are kept.

    eos_ids: tokens that end every answer. vocabulary: the number of logits.
    """

    def __init__(
        self,
        tokenizer: PromptTokenizer,
        eos_ids: Sequence[int],
        vocabulary: int,
        device: torch.device,
    ) -> None:
        self._tokenizer = tokenizer
        # Of functions, not of methods: a cycle would keep tables on a device without their model.
        rules = partial(_rules, tokenizer, tuple(eos_ids), vocabulary)
        table = partial(_table, tokenizer, vocabulary, device)
        self._rules = lru_cache(_KEPT_RULES)(rules)
        self._table = lru_cache(_KEPT_TABLES)(table)

    def of(self, request: Request) -> StopTable:
        """Return the table of a request. Raises StopRun if its reasoning cannot be ended."""
        rules = self._rules(request.prompt_format, request.stop, request.ignore_eos)
        if rules.marks and request.max_reasoning_tokens is not None:
            ids, known = rules.marks.end_ids, self._tokenizer.token_bytes.by_id
            if rules.marks.end.encode() not in b"".join(known[i] for i in ids):
                raise StopRun(
                    f"the tokens {list(ids)} of the model's tokenizer do not spell "
                    f"{rules.marks.end!r}, so its reasoning cannot be ended after "
                    f"{request.max_reasoning_tokens} tokens; take --thinking on or off"
                )
        return self._table(rules)

    def text(self, tokens: Sequence[int], request: Request) -> AnswerText:
        """Return the text of an answer to a request, and the reasoning in the text."""
        rules = self._rules(request.prompt_format, request.stop, request.ignore_eos)
        whole = self._tokenizer.text(tokens)
        if rules.marks is None:
            return AnswerText(whole, None, whole)
        known = self._tokenizer.token_bytes.by_id
        spelled = [known[i] if i < len(known) else b"" for i in tokens]
        number, rest = split_reasoning(self._table(rules).automaton, spelled)
        behind = rest.decode(errors="replace")
        reasoning = self._tokenizer.text(tokens[:number]).removesuffix(behind)
        for mark in (rules.marks.start, rules.marks.end):
            reasoning = reasoning.replace(mark, "")
        answer = behind + self._tokenizer.text(tokens[number:])
        return AnswerText(whole, reasoning.strip() or None, answer)


def _rules(
    tokenizer: PromptTokenizer,
    eos_ids: tuple[int, ...],
    vocabulary: int,
    prompt_format: PromptFormat,
    stop: tuple[str, ...],
    ignore_eos: bool,
) -> EndRules:
    """Return the rules that end answers to prompts of a format; plain prompts never reason."""
    eos_ids = () if ignore_eos else eos_ids
    if prompt_format.style == "plain":
        return EndRules(stop, eos_ids)
    turn, marks = None if ignore_eos else tokenizer.end_of_turn, tokenizer.marks
    ends = {*eos_ids, *([turn] if turn is not None and turn < vocabulary else [])}
    (prompt,) = tokenizer.texts(prompt_format, [_PROBE])
    is_open = marks is not None and marks.is_open(prompt)
    return EndRules(stop, tuple(sorted(ends)), marks, is_open)


def _table(
    tokenizer: PromptTokenizer, vocabulary: int, device: torch.device, rules: EndRules
) -> StopTable:
    known = tokenizer.token_bytes.by_id[:vocabulary]
    automaton = build_automaton(rules, [*known, *[b""] * (vocabulary - len(known))])
    end_ids = rules.marks.end_ids if rules.marks else ()
    return StopTable(
        automaton,
        torch.from_numpy(automaton.by_token).to(device),
        torch.tensor(end_ids, dtype=torch.long, device=device),
    )
