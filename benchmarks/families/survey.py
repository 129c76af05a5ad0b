"""The survey runs every family in its own process, so a crash or a hang costs one family."""

import logging
import multiprocessing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.families.sizes import tiny_config
from benchmarks.families.variants import VARIANTS, Variant, with_short_windows
from benchmarks.families.verdict import Verdict, judge, named

SECONDS = 60


@dataclass(frozen=True)
class Surveyed:
    """Verdict on a family. variant: of its configuration; empty for transformers' defaults."""

    family: str
    class_name: str
    variant: str
    verdict: Verdict


def families() -> list[str]:
    """The `model_type` of every causal family of the installed transformers."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def survey(names: Sequence[str], seconds: float = SECONDS) -> Iterator[Surveyed]:
    """Yield the verdict on each family, then on its variants; on short windows if it is exact."""
    for family in names:
        surveyed = _surveyed(Variant(family, ""), seconds)
        yield surveyed
        if surveyed.verdict.kind == "exact" and (short := with_short_windows(family)):
            yield _surveyed(short, seconds)
        for variant in VARIANTS:
            if variant.family == family:
                yield _surveyed(variant, seconds)


def _surveyed(variant: Variant, seconds: float) -> Surveyed:
    class_name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[variant.family]
    result = verdict(variant.family, variant.changes, seconds)
    return Surveyed(variant.family, class_name, variant.name, result)


def verdict(family: str, changes: Mapping[str, Any], seconds: float = SECONDS) -> Verdict:
    """Judge a tiny model of a family, with changes to its text configuration."""
    # Forked, because importing torch and transformers takes longer than a family.
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_judge, args=(family, changes, there), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(seconds):
            return Verdict("error", f"no verdict after {seconds:g} seconds")
        result: Verdict = here.recv()
        return result
    except EOFError:
        child.join()
        return Verdict("error", f"the process ended with exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()
        here.close()


def _judge(family: str, changes: Mapping[str, Any], there: Connection) -> None:
    # A fork lacks the threads of its parent, and OpenMP would wait for them for ever.
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    try:
        config = tiny_config(family, changes)
    except Exception as error:
        there.send(Verdict("not built", named(error)))
    else:
        there.send(judge(config))
