"""Documents for tests of terminal and page. The numbers look real; only their sums are right."""

import random
from collections.abc import Sequence
from typing import Any

from producer.report.document import (
    Comparison,
    CountPoint,
    Document,
    Interval,
    ParaphraseReport,
    RunReport,
    SampleRow,
)

FOLDER = "webqa/smollm2_135m_it/"
SKILLS = {
    "origin": ("origin", 1, None, None, 0.30),
    "avg-5": ("avg", 5, None, None, 0.36),
    "flex_attention-5": ("flex_attention", 5, "concat", "sequential", 0.42),
    "flex_attention_cross_manual-m2a3s5-shared": (
        "flex_attention_cross_manual", 5, "shared", "aligned", 0.40,
    ),
    "per_prompt-5": ("per_prompt", 5, None, None, 0.28),
}  # fmt: skip
"""By name: method, paraphrases, layout, positions, how often it is right."""

CITIES = ("Paris", "Lima", "Oslo", "Quito", "Cairo", "Hanoi", "Accra")
PARAPHRASES = (
    "what is the capital of country {n}?",
    "which city is country {n}'s capital?",
    "country {n} is governed from which city?",
    "name the capital city of country {n}, please.",
    "the seat of government of country {n} is where?",
)
FAILED = "SampleError: the prompt has 2,113 tokens, the model reads 2,048"


def make_document(questions: int = 60, **changes: Any) -> Document:
    """Five runs, one of them with a row for each paraphrase, one with a failed row."""
    draw = random.Random(5)
    runs = [FOLDER + name for name in SKILLS]
    samples = tuple(make_sample(number, draw) for number in range(questions))
    if questions > 2:
        samples = (*samples[:2], fail(samples[2], runs[2]), *samples[3:])
    fields = {
        "title": "webqa, five methods",
        "dataset": "webqa",
        "metric": "exact",
        "questions": questions,
        "common_of": questions + 39,
        "runs": tuple(map(_run_report, runs, [samples] * len(runs))),
        "comparisons": tuple(
            _comparison(a, b, samples) for i, a in enumerate(runs) for b in runs[i + 1 :]
        ),
        "paraphrases": (_paraphrase_report(runs[4], samples),),
        "samples": samples,
        "notes": ("1 of 60 rows of flex_attention-5 failed and counts as wrong.",),
    }
    return Document(**(fields | changes))


def make_sample(number: int, draw: random.Random, **changes: Any) -> SampleRow:
    gold = CITIES[number % len(CITIES)]
    skills = {FOLDER + name: row[4] for name, row in SKILLS.items()}
    hard = draw.uniform(-0.3, 0.3)
    predictions = {run: _answer(gold, draw.random() < s + hard, draw) for run, s in skills.items()}
    singles = tuple(_answer(gold, draw.random() < 0.28 + hard, draw) for _ in PARAPHRASES)
    correct = {run: answer == gold for run, answer in predictions.items()}
    fields = {
        "uuid": f"{number:04d}c0ffee{number:06d}",
        "paraphrases": tuple(text.format(n=number) for text in PARAPHRASES),
        "answers": (gold, f"{gold} City"),
        "predictions": predictions,
        "correct": correct,
        "errors": {},
        "singles": singles,
        "singles_correct": tuple(single == gold for single in singles),
        "flips": len(set(correct.values())) > 1,
    }
    return SampleRow(**(fields | changes))


def fail(sample: SampleRow, run: str) -> SampleRow:
    """The same question where `run` gave an error instead of an answer."""
    correct = sample.correct | {run: False}
    return sample.model_copy(
        update={
            "predictions": sample.predictions | {run: None},
            "correct": correct,
            "errors": {run: FAILED},
            "flips": len(set(correct.values())) > 1,
        }
    )


def _answer(gold: str, right: bool, draw: random.Random) -> str:
    return gold if right else draw.choice([city for city in CITIES if city != gold])


def _share(flags: Sequence[bool]) -> Interval:
    share = sum(flags) / len(flags)
    half = 1.96 * (share * (1 - share) / len(flags)) ** 0.5
    return Interval(value=share, low=max(0.0, share - half), high=min(1.0, share + half))


def _run_report(run: str, samples: Sequence[SampleRow]) -> RunReport:
    method, paraphrases, layout, positions, skill = SKILLS[run.removeprefix(FOLDER)]
    accuracy = _share([sample.correct[run] for sample in samples])
    timed = method != "origin"
    return RunReport(
        run=run, method=method, num_paraphrases=paraphrases, layout=layout, positions=positions,
        questions=len(samples), failed=sum(run in sample.errors for sample in samples),
        accuracy=accuracy, f1=accuracy, tokens=len(samples) * 21, cut_off=0,
        seconds=len(samples) * skill if timed else None,
        questions_per_second=1 / skill if timed else None,
    )  # fmt: skip


def _comparison(run: str, other: str, samples: Sequence[SampleRow]) -> Comparison:
    wins = [s.uuid for s in samples if s.correct[run] and not s.correct[other]]
    losses = [s.uuid for s in samples if s.correct[other] and not s.correct[run]]
    difference = (len(wins) - len(losses)) / len(samples)
    differs = abs(difference) > 0.14
    return Comparison(
        run=run, other=other,
        difference=Interval(value=difference, low=difference - 0.13, high=difference + 0.13),
        p_value=0.0004 if differs else 0.21, p_adjusted=0.004 if differs else 1.0,
        minimum_detectable=0.185, wins=len(wins), losses=len(losses),
        ties=len(samples) - len(wins) - len(losses),
        flips=tuple(s.uuid for s in samples if s.uuid in {*wins, *losses}),
    )  # fmt: skip


def _paraphrase_report(run: str, samples: Sequence[SampleRow]) -> ParaphraseReport:
    right = [sample.singles_correct or () for sample in samples]
    by_paraphrase = tuple(_share([row[w] for row in right]) for w in range(len(PARAPHRASES)))
    shares = [interval.value for interval in by_paraphrase]
    mean = sum(shares) / len(shares)
    points = tuple(
        CountPoint(
            paraphrases=k, mean_single=mean,
            majority=_share([sum(row[:k]) * 2 > k for row in right]),
            oracle=_share([any(row[:k]) for row in right]),
        )
        for k in range(1, len(PARAPHRASES) + 1)
    )  # fmt: skip
    return ParaphraseReport(
        run=run, by_paraphrase=by_paraphrase, best=max(shares), mean=mean, worst=min(shares),
        majority=points[-1].majority, oracle=points[-1].oracle,
        consistency=Interval(value=0.41, low=0.37, high=0.46), by_count=points,
    )  # fmt: skip
