"""benchmarks.engine: its rows with and without --vary, and the ratios between them."""

import pytest

from benchmarks import engine
from benchmarks.engine import ALL, METHODS

SPEEDS = (
    "seconds", "questions/s", "prefill tokens/s", "prefill of machine", "decode tokens/s",
    "peak MiB", "repeats",
)  # fmt: skip


@pytest.fixture
def measured(document, small_model):
    arguments = ("--samples", 1, "--samples", 2, "--sweep-at", 2, "--repeats", 2)
    return document(engine.main, *arguments, "--model", small_model)


def test_the_engine_is_measured_in_every_way_with_early_stop_and_without(measured):
    rows = measured["rows"]
    for stop in ("off", "on"):
        cases = [
            (row["methods"], row["layout"], row["samples"])
            for row in rows
            if row["early stop"] == stop
        ]
        assert cases == [
            *((method, "concat", 2) for method in (*METHODS, ALL)),
            ("flex_attention", "shared", 2),
            ("flex_attention", "concat", 1),
        ]
    assert all(row[name] > 0 for row in rows for name in SPEEDS)
    assert [row["decode of machine"] is None for row in rows] == [False] * 8 + [True] * 8


def test_the_engines_ratios_are_those_of_its_rows(measured):
    seconds = [row["seconds"] for row in measured["rows"]]
    flex, every, shared = (METHODS.index("flex_attention"), 5, 6)
    assert measured["ratios"] == {
        "all five over flex_attention alone, early stop off": seconds[every] / seconds[flex],
        "concat over shared, early stop off": seconds[flex] / seconds[shared],
        "all five over flex_attention alone, early stop on": seconds[8 + every]
        / seconds[8 + flex],
        "concat over shared, early stop on": seconds[8 + flex] / seconds[8 + shared],
    }


def test_vary_varies_one_thing_at_a_time(document, small_model):
    arguments = ("--vary", "samples,paraphrases,few-shot,tokens", "--samples", 1, "--repeats", 1)
    report = document(engine.main, *arguments, "--model", small_model)
    assert list(report["rows"][0]) == [
        "varied", "value", "seconds", "prefill s", "decode s", "prefill tokens", "decode tokens",
        "repeats",
    ]  # fmt: skip
    values = {}
    for row in report["rows"]:
        values.setdefault(row["varied"], []).append(row["value"])
    assert values == {
        "samples": [1, 2, 4, 8],
        "paraphrases": [1, 2, 3, 5],
        "few-shot": [0, 5, 10, 20],
        "generated tokens": [5, 10, 20, 40],
    }
    decoded = [row["decode tokens"] for row in report["rows"]]
    assert decoded == [20, 40, 80, 160, *[20] * 8, 5, 10, 20, 40]
    last, first = report["rows"][3]["seconds"], report["rows"][0]["seconds"]
    assert report["ratios"]["time from 1 to 8 samples"] == last / first


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--samples", 0), "0 is not in the range 1<=x<=512"),
        (("--samples", 513), "513 is not in the range 1<=x<=512"),
        (
            ("--vary", "tokens,layers"),
            "'layers' is none of samples, paraphrases",
        ),
        (("--vary", "tokens", "--samples", 1, "--samples", 2), "give --samples once"),
        (("--vary", "samples", "--samples", 65), "asks up to 8 times --samples; at most 64"),
        (("--repeats", 0), "0 is not in the range 1<=x<=99"),
        (("--model", "no such model"), "model 'no such model' is no directory here"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(run, arguments, sentence):
    result = run(engine.main, *arguments)
    assert result.exit_code != 0
    assert sentence in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
