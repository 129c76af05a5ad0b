"""The stages by name."""

from collections.abc import Callable, Mapping

from benchmarks.gpu_day.stages.attention import attention
from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.checks import check_compiled, check_eager, check_flex
from benchmarks.gpu_day.stages.gpu_tests import gpu_tests
from benchmarks.gpu_day.stages.graphs import graphs
from benchmarks.gpu_day.stages.probe import probe
from benchmarks.gpu_day.stages.rows import Rows
from benchmarks.gpu_day.stages.shards import shards
from benchmarks.gpu_day.stages.speed import eager, flex, rest

STAGES: Mapping[str, Callable[[Bench, Rows], None]] = {
    "probe": probe,
    "check_eager": check_eager,
    "eager": eager,
    "check_flex": check_flex,
    "flex": flex,
    "graphs": graphs,
    "attention": attention,
    "check_compiled": check_compiled,
    "shards": shards,
    "rest": rest,
    "gpu_tests": gpu_tests,
}
