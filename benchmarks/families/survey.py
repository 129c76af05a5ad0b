"""Every family in a process of its own, so that a crash or a hang of one ends no survey."""

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
    """A family's verdict. variant: of its configuration; empty for transformers' defaults."""

    family: str
    class_name: str
    variant: str
    verdict: Verdict


def families() -> list[str]:
    """Every causal family of the installed transformers, by its `model_type`."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def survey(names: Sequence[str], seconds: float = SECONDS) -> Iterator[Surveyed]:
    """The verdict on each family, then on its variants; short windows where it is exact."""
    for family in names:
        found = _surveyed(Variant(family, ""), seconds)
        yield found
        if found.verdict.kind == "exact" and (short := with_short_windows(family)):
            yield _surveyed(short, seconds)
        for variant in VARIANTS:
            if variant.family == family:
                yield _surveyed(variant, seconds)


def _surveyed(variant: Variant, seconds: float) -> Surveyed:
    class_name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[variant.family]
    found = verdict(variant.family, variant.changes, seconds)
    return Surveyed(variant.family, class_name, variant.name, found)


def verdict(family: str, changes: Mapping[str, Any], seconds: float = SECONDS) -> Verdict:
    """The verdict on a tiny model of a family, its text configuration changed."""
    # Forked, because importing torch and transformers takes longer than a family.
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_judge, args=(family, changes, there), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(seconds):
            return Verdict("error", f"no verdict after {seconds:g} seconds")
        found: Verdict = here.recv()
        return found
    except EOFError:
        child.join()
        return Verdict("error", f"the process ended with exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()
        here.close()


def _judge(family: str, changes: Mapping[str, Any], there: Connection) -> None:
    # The threads of a parent are not forked with it, and OpenMP would wait for them for ever.
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    try:
        config = tiny_config(family, changes)
    except Exception as error:
        there.send(Verdict("not built", named(error)))
    else:
        there.send(judge(config))
