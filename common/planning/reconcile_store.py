"""Reconciling the runs of a store: all, or those that were enqueued and are not settled."""

from collections.abc import Iterable

from common.planning.dependents import dependents_of
from common.planning.reconcile import Reconciler, RunFinding
from common.store.enqueued import forget_enqueued, list_enqueued, note_enqueued
from common.store.filesystem import StoreFilesystem
from common.store.run_listing import list_runs
from common.store.runs import RunFolder


def reconcile_enqueued(
    store: StoreFilesystem, namespace: str, reconciler: Reconciler
) -> list[RunFinding]:
    """Look at the runs that were enqueued in a namespace, until they are settled.

    A merged run costs nothing from its second look on. Raises as `Reconciler.look`.
    """
    return _reconcile(list_enqueued(store, namespace), namespace, reconciler)


def reconcile_store(
    store: StoreFilesystem, namespace: str, reconciler: Reconciler
) -> list[RunFinding]:
    """Look at every run of a store. Raises as `Reconciler.look`."""
    runs = {str(run.key): run for run in (*list_runs(store), *list_enqueued(store, namespace))}
    return _reconcile(runs.values(), namespace, reconciler)


def _reconcile(
    runs: Iterable[RunFolder], namespace: str, reconciler: Reconciler
) -> list[RunFinding]:
    findings = reconciler.look(runs)
    settled = [finding.run for finding in findings if finding.settled]
    # Of a settled run the dependents' messages may be lost as well; most of them are settled, too.
    for run in (new for done in settled for new in _dependents(done)):
        note_enqueued(run, namespace)
    for run in settled:
        forget_enqueued(run, namespace)
    for finding in findings:
        if finding.did:
            note_enqueued(finding.run, namespace)
    return sorted(findings, key=lambda finding: str(finding.run.key))


def _dependents(run: RunFolder) -> list[RunFolder]:
    return dependents_of(run) if run.exists() else []
