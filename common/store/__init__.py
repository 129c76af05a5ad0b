"""The store: the directory tree that is the truth about every run.

    <store>/<dataset>/<model>/<name>/run.json      spec, fingerprint, provenance
                                    /input.arrow   the snapshot of its samples
                                    /model-*.json  identity of the weights, pinned by a worker
                                    /cancelled-*.json  since when the run is cancelled, if it is
                                    /parts/*.arrow results of shards, committed whole or not at all
                                    /merged-*      the mark of a result that has all these parts
                                    /scores.arrow  what `producer score` made of its answers
    <store>/<dataset>/<model>/<name>.feather       the merged result
    <store>/<dataset>/<model>/<name>.after/        the plan of a run that waits for another

Parts, pin, mark and merged file carry the generation of their run (common.store.run_record).
Queues and counters may be lost; what is left to do is always input rows - rows in parts.
"""

from common.store.filesystem import StoreFilesystem
from common.store.merge import merge_run
from common.store.opening import open_run
from common.store.parts import PartInfo, list_parts
from common.store.progress import Progress, missing_rows, read_progress
from common.store.run_listing import list_runs
from common.store.run_record import RunRecord
from common.store.runs import RunFolder
from common.store.verify import verify_run

__all__ = [
    "PartInfo",
    "Progress",
    "RunFolder",
    "RunRecord",
    "StoreFilesystem",
    "list_parts",
    "list_runs",
    "merge_run",
    "missing_rows",
    "open_run",
    "read_progress",
    "verify_run",
]
