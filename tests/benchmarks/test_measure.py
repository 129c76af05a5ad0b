"""Measuring: repeats, answers that are timed, the peak of a process."""

import copy
import doctest
import mmap
from dataclasses import replace

import pytest

from benchmarks import measure
from benchmarks.measure import ONCE, RepeatLimit, peak_mib, repeated, reset_peak, time_answers
from benchmarks.workload import Workload, without_stops
from common.errors import SampleError
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.engine import Engine
from worker.model.model_place import load_tokenizer

WORKLOAD_SIZE = {"examples": 0, "max_new_tokens": 7}


def answer_tokens(engine, workload, request):
    return [
        t for (t,) in time_answers(engine, workload.questions(2), request, ONCE).tokens("origin")
    ]


def test_stop_strings_end_no_answer_of_a_request_without_stops(small_model):
    workload = Workload(model=small_model, **WORKLOAD_SIZE)
    engine, endless = workload.loaded_engine().engine, without_stops(workload.request("origin"))
    whole = answer_tokens(engine, workload, endless)
    assert [len(tokens) for tokens in whole] == [7, 7]
    letters = "".join(map(engine.tokenizer.text, whole))
    stopped = replace(workload.request("origin"), stop=tuple(filter(str.isascii, letters)))
    assert all(len(tokens) < 7 for tokens in answer_tokens(engine, workload, stopped))
    assert answer_tokens(engine, workload, without_stops(stopped)) == whole


def test_end_tokens_end_no_answer_of_a_request_without_stops(small_model):
    workload = Workload(model=small_model, **WORKLOAD_SIZE)
    model, request = workload.loaded_engine().engine.model, workload.request("origin")

    def engine_ended_by(ids):
        """Of a copy: the geometry of a model is read once."""
        twin = copy.deepcopy(model)
        twin.generation_config.eos_token_id = ids
        return Engine(twin, load_tokenizer(workload.source), SdpaBackend())

    whole = answer_tokens(engine_ended_by([]), workload, without_stops(request))
    engine = engine_ended_by([tokens[0] for tokens in whole])
    assert answer_tokens(engine, workload, request) == [tokens[:1] for tokens in whole]
    assert answer_tokens(engine, workload, without_stops(request)) == whole


def test_a_question_that_is_not_answered_is_not_timed(small_model):
    workload = Workload(model=small_model, examples=0, max_new_tokens=4096)
    engine = workload.loaded_engine().engine
    engine.runner.geometry = replace(engine.geometry, max_positions=100)
    with pytest.raises(SampleError):
        time_answers(engine, workload.questions(1), workload.request("origin"), ONCE)


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
