"""common.run: the fingerprint changes with every field of a spec, and with nothing else."""

import json

import pytest
from pydantic import ValidationError

from common.prompts import Template
from common.run import RunSpec, SamplingParams
from common.settings import Settings
from tests.common.storekit import make_spec

CHANGES = {
    "dataset": "other",
    "dataset_sha256": "e" * 64,
    "num_samples": 8,
    "model": "owner/other",
    "model_source": "/models/other",
    "method": "avg",
    "num_paraphrases": 3,
    "layout": "shared",
    "positions": "aligned",
    "template": {"instruction": "Be brief."},
    "few_shot": (),
    "max_new_tokens": 21,
    "dtype": "auto",
    "prompt": "chat",
    "thinking": 512,
    "stop": ("###",),
    "date_string": "27 Nov 2026",
    "revision": "v2",
    "semantics": 2,
    "sampling": {"temperature": 1.5, "top_p": 0.9, "num_draws": 3},
    "exemplars": (("who?", "which one?"),),
}


def test_the_table_above_changes_every_field():
    assert set(CHANGES) == set(RunSpec.model_fields)


@pytest.mark.parametrize("field", CHANGES)
def test_the_fingerprint_changes_with_each_field(field):
    assert make_spec(**{field: CHANGES[field]}).fingerprint != make_spec().fingerprint


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("instruction", "Rate."),
        ("gap", "\n"),
        ("example", "F: {question}\nA: {answer}\n\n"),
        ("question", "F: {question}\n"),
        ("cue", "W:"),
        ("prediction", "word"),
    ],
)
def test_the_fingerprint_changes_with_each_part_of_the_template(part, value):
    template = make_spec().template.model_copy(update={part: value})
    assert make_spec(template=template).fingerprint != make_spec().fingerprint


def test_the_changes_above_are_of_every_part_of_the_template():
    parts = {"instruction", "gap", "example", "question", "cue", "prediction"}
    assert set(Template.model_fields) == parts


@pytest.mark.parametrize(("part", "value"), [("temperature", 0.7), ("top_p", 1), ("num_draws", 9)])
def test_the_fingerprint_changes_with_each_part_of_the_sampling(part, value):
    sampling = SamplingParams(temperature=1.5, top_p=0.9, num_draws=3)
    changed = sampling.model_copy(update={part: value})
    assert make_spec(sampling=changed).fingerprint != make_spec(sampling=sampling).fingerprint


def test_the_fingerprint_changes_with_the_order_of_the_examples():
    pair = [("a?", "b"), ("c?", "d")]
    fingerprints = {make_spec(few_shot=f).fingerprint for f in (pair, pair[::-1])}
    assert len(fingerprints) == 2


def test_the_fingerprint_of_a_known_spec_stays_what_it_was():
    """Another value here means that every run made before would be refused."""
    expected = "02bb035a48423b28f57cfc0bd35ed81c735e2e6de2c71988d086a0f140688b06"
    assert make_spec().fingerprint == expected


def test_a_spec_read_back_from_json_has_the_same_fingerprint():
    spec = make_spec(few_shot=(("où?", "là"),), layout="concat", positions="sequential")
    shuffled = dict(reversed(json.loads(spec.model_dump_json()).items()))
    assert RunSpec.model_validate(shuffled).fingerprint == spec.fingerprint


def test_nothing_about_execution_is_in_a_spec():
    assert not set(RunSpec.model_fields) & set(Settings.model_fields)
    for name in ("shard_size", "batch_size", "device", "workers", "package_version"):
        with pytest.raises(ValidationError, match="Extra inputs"):
            make_spec(**{name: 3})


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_samples", 0), ("num_paraphrases", 0), ("num_paraphrases", 65), ("max_new_tokens", 0),
     ("layout", "ring"), ("positions", "random"), ("dtype", "int8")],
)  # fmt: skip
def test_a_spec_that_cannot_be_run_cannot_be_made(field, value):
    with pytest.raises(ValidationError, match=field):
        make_spec(**{field: value})


def test_equal_specs_have_no_differences():
    assert make_spec().differences(make_spec()) == {}


def test_differences_give_each_field_with_both_values_in_order():
    changed = make_spec(dtype="auto", max_new_tokens=21)
    expected = {"max_new_tokens": (20, 21), "dtype": ("float32", "auto")}
    assert make_spec().differences(changed) == expected
    assert changed.differences(make_spec()) == {k: v[::-1] for k, v in expected.items()}


@pytest.mark.parametrize("field", ["method", "num_paraphrases", "layout", "dataset_sha256"])
def test_runs_that_differ_in_what_is_fused_share_a_prefill(field):
    assert make_spec(**{field: CHANGES[field]}).engine_options() == make_spec().engine_options()


@pytest.mark.parametrize(
    "field",
    [
        "model",
        "model_source",
        "revision",
        "dtype",
        "template",
        "few_shot",
        "prompt",
        "thinking",
        "stop",
        "date_string",
        "sampling",
        "exemplars",
    ],
)
def test_runs_that_differ_in_the_prompt_or_the_model_share_none(field):
    assert make_spec(**{field: CHANGES[field]}).engine_options() != make_spec().engine_options()
