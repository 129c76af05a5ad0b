"""Measuring: repeats, answers that are timed, the peak of a process."""

import doctest
import mmap
from dataclasses import replace

import pytest

from benchmarks import measure
from benchmarks.measure import RepeatLimit, peak_mib, repeated, reset_peak, time_answers
from benchmarks.workload import Workload, early_stop
from common.errors import SampleError
from worker.engine.stop_automaton import EOS_STATE


def test_answers_go_on_past_their_end_without_early_stop_alone(small_model):
    workload = Workload(model=small_model, examples=0)
    engine = workload.loaded_engine().engine
    # A random model ends no answer by itself within 20 tokens, so let every token end one.
    request, lengths = workload.request("origin"), {}
    engine._stops.of(request).next_state.fill_(EOS_STATE)
    for on in (True, False, True):
        with early_stop(engine, on):
            measured = time_answers(engine, workload.questions(2), request, RepeatLimit(repeats=1))
        lengths.setdefault(on, []).append([len(t) for (t,) in measured.tokens("origin")])
    assert lengths == {True: [[1, 1], [1, 1]], False: [[20, 20]]}


def test_a_question_that_is_not_answered_is_not_timed(small_model):
    workload = Workload(model=small_model, examples=0, max_new_tokens=4096)
    engine = workload.loaded_engine().engine
    engine.geometry = replace(engine.geometry, max_positions=100)
    with pytest.raises(SampleError):
        time_answers(
            engine, workload.questions(1), workload.request("origin"), RepeatLimit(repeats=1)
        )


def test_a_measurement_is_repeated_until_its_limit():
    seconds = iter([4.0, 3.0, 9.0, 1.0])
    assert repeated(lambda: next(seconds), RepeatLimit(repeats=9, seconds=16)).seconds == 4.0
    assert next(seconds) == 1.0


@pytest.mark.skipif(peak_mib() is None, reason="this system keeps no peak of memory")
def test_a_peak_begins_anew_when_it_is_reset():
    """A mapping of its own, since a process that had an engine keeps the memory that it frees."""
    pages = mmap.mmap(-1, 200 << 20)
    for page in range(0, len(pages), mmap.PAGESIZE):
        pages[page] = 1
    high = peak_mib()
    pages.close()
    reset_peak()
    assert peak_mib() < high - 150


def test_the_example_of_a_median_is_true():
    assert doctest.testmod(measure) == (0, 1)
