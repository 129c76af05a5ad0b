"""The workers: which are alive, what they have loaded, and whether their versions agree."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version

from common.broker import all_queues
from common.counted import counted
from common.live_workers import LiveWorker
from producer.doctor.finding import Finding, fault, ok, warning


def check_workers(workers: Sequence[LiveWorker], messages: int) -> Iterator[Finding]:
    """Yield findings about the live workers. messages: how many wait in their queues."""
    if not workers:
        start = "start one on each GPU host with `celery -A worker worker`"
        if messages:
            yield fault(
                "workers", f"none is alive, waiting: {counted(messages, 'message')}", start
            )
        else:
            yield warning("workers", "none is alive", start)
    for worker in workers:
        yield ok("workers", _describe(worker))
    yield from check_versions(workers, version("self-ensemble"))


def check_versions(workers: Sequence[LiveWorker], own: str) -> Iterator[Finding]:
    """Yield a warning for each worker whose version is not that of this producer."""
    for worker in workers:
        if worker.version != own:
            yield warning(
                "workers", f"{worker.name} has version {worker.version}, this producer {own}",
                "install one version everywhere",
            )  # fmt: skip


def _describe(worker: LiveWorker) -> str:
    served = "all queues" if set(worker.queues) >= set(all_queues()) else " ".join(worker.queues)
    device = worker.device or "unknown"
    return (
        f"{worker.name}: version {worker.version}, {_processes(worker)}, "
        f"device {device}, "
        f"serves {served}, {_models(worker)}"
    )


def _processes(worker: LiveWorker) -> str:
    return "1 process" if worker.processes == 1 else f"{worker.processes} processes"


def _models(worker: LiveWorker) -> str:
    models = [f"{'loads' if model.loading else 'holds'} {model.model}" for model in worker.models]
    return ", ".join(dict.fromkeys(models)) or "holds no model"
