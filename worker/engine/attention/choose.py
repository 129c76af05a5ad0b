"""The choice of an attention backend, from the setting or else from the device.

Every attention backend gives the same answer, so the choice decides speed only. Nothing is
verified here: the canary compares the engine with its model, whichever backend it has.
"""

from typing import NamedTuple

from common.errors import StopRun, UsageError
from worker.engine.attention.backend import BACKENDS, AttentionBackend
from worker.engine.attention.cascade_prefill import CASCADE
from worker.engine.attention.flex import FLEX
from worker.engine.attention.sdpa import SDPA
from worker.model.resolved_setting import ResolvedSetting

BUILT_IN = (FLEX, CASCADE, SDPA)

_SHORT_FORMS = (SDPA, CASCADE)
"""The backends of short packs, best first; the last one computes every model."""


class Candidate(NamedTuple):
    """A backend to try, and the setting that it resolves to."""

    backend: AttentionBackend
    setting: ResolvedSetting


def attention_candidates(
    setting: str, device: str, softcap: float | None = None
) -> list[Candidate]:
    """Return the backends to try, best first, each with its reason.

    setting: a backend's name, which gives that one alone; "auto" gives the defaults of the device
    and then, as compiling may fail, the short form. device: type of the device. softcap: that of
    the model, if any. Raises StopRun if the setting names a backend that does not exist or cannot
    compute the model.
    """
    if setting != "auto":
        return [_named(setting, softcap)]
    defaults = [backend for backend in BACKENDS.values() if device in backend.default_on]
    able = [backend for backend in defaults if not backend.cannot_compute(softcap)]
    candidates = [_candidate(b, b.default_on[device], softcap) for b in able]
    if all(backend.compiles for backend in able):
        faults = [fault for b in defaults if (fault := b.cannot_compute(softcap))]
        reason = "; ".join(faults) or "it needs no compiler"
        candidates.append(_candidate(short_form(softcap), reason, softcap))
    return candidates


def _named(name: str, softcap: float | None) -> Candidate:
    try:
        backend = find_backend(name)
    except UsageError as error:
        raise StopRun(str(error)) from None
    if fault := backend.cannot_compute(softcap):
        able = [b.name for b in BACKENDS.values() if not b.cannot_compute(softcap)]
        raise StopRun(
            f"SELF_ENSEMBLE_ATTENTION={name}: {fault}; set it to auto or {' or '.join(able)}"
        )
    return _candidate(backend, "SELF_ENSEMBLE_ATTENTION asks for it", softcap)


def _candidate(backend: AttentionBackend, reason: str, softcap: float | None) -> Candidate:
    short = short_form(softcap)
    if backend.min_pack and backend is not short:
        reason += f"; packs under {backend.min_pack} tokens use {short.name}"
    return Candidate(backend, ResolvedSetting(backend.name, reason))


def find_backend(name: str) -> AttentionBackend:
    """Return the backend of a name. Raises UsageError if no backend has the name."""
    if name not in BACKENDS:
        raise UsageError(
            f"SELF_ENSEMBLE_ATTENTION={name!r}: no attention backend has this name; known are "
            f"{', '.join(['auto', *BACKENDS])}"
        )
    return BACKENDS[name]


def short_form(softcap: float | None = None) -> AttentionBackend:
    """Return the backend that computes packs below the smallest pack of another."""
    return next(backend for backend in _SHORT_FORMS if not backend.cannot_compute(softcap))
