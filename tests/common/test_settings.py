"""common.settings: what is read from the environment, and how bad values are refused."""

import pytest

from common.errors import UsageError
from common.settings import PREFIX, Settings

GOOD = {
    "store": ("s3://bucket/runs", "s3://bucket/runs"),
    "broker": ("redis://:pw@host:6380/3", "redis://:pw@host:6380/3"),
    "namespace": ("team-2", "team-2"),
    "device": ("cuda:1", "cuda:1"),
    "attention": ("sdpa", "sdpa"),
    "compile": ("never", "never"),
    "processes": ("3", 3),
    "pack_tokens": ("777", 777),
    "kv_cache_gib": ("0.25", 0.25),
    "warm_revision": ("refs/pr/3", "refs/pr/3"),
    "warm_model": ("smollm2_135m_it", "smollm2_135m_it"),
    "warm_dtype": ("bfloat16", "bfloat16"),
    "warm_samples": ("99", 99),
    "time_limit": ("77", 77),
    "visibility_timeout": ("13", 13),
    "reconcile": ("false", False),
    "max_attempts": ("5", 5),
    "health_dir": ("/run/health", "/run/health"),
}

BAD = [
    ("device", "tpu"), ("device", "cuda:"), ("device", "cpu "), ("attention", "no name"),
    ("attention", "FLEX"), ("processes", "0"), ("processes", "65"), ("processes", "two"),
    ("pack_tokens", "63"), ("pack_tokens", "1.5"), ("kv_cache_gib", "0"), ("kv_cache_gib", "nan"),
    ("kv_cache_gib", "-1"), ("pack_tokens", "auto"), ("warm_dtype", "int8"),
    ("compile", "maybe"), ("warm_samples", "0"),
    ("time_limit", "9"), ("visibility_timeout", "2"), ("max_attempts", "0"),
    ("max_attempts", "3x"), ("namespace", "a:b"), ("namespace", "*"), ("namespace", "é"),
    ("namespace", "x" * 33), ("namespace", "-a"),
]  # fmt: skip


def test_the_table_below_covers_every_setting():
    assert set(GOOD) == set(Settings.model_fields)


@pytest.mark.parametrize("field", GOOD)
def test_each_variable_sets_its_field_and_no_other(field):
    text, value = GOOD[field]
    settings = Settings.from_environment({PREFIX + field.upper(): text})
    assert settings.model_dump() == Settings().model_dump() | {field: value}
    assert settings != Settings()


def test_an_empty_variable_means_the_default():
    empty = {PREFIX + field.upper(): "" for field in Settings.model_fields}
    assert Settings.from_environment(empty) == Settings()


def test_variables_of_other_programs_are_passed_over():
    environment = {"HOME": "/root", "ENSEMBLE_STORE": "/x", "XSELF_ENSEMBLE_STORE": "/y"}
    assert Settings.from_environment(environment) == Settings()


def test_the_environment_of_this_process_is_the_default_source(monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", "/data/runs")
    assert Settings.from_environment().store == "/data/runs"


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_value_is_refused_with_its_variable_and_the_value(field, value):
    with pytest.raises(UsageError) as refused:
        Settings.from_environment({PREFIX + field.upper(): value})
    assert f"{PREFIX}{field.upper()}={value!r}: " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_bad_values_are_both_named():
    with pytest.raises(UsageError, match=r"_DEVICE=.*; SELF_ENSEMBLE_TIME_LIMIT="):
        Settings.from_environment(
            {"SELF_ENSEMBLE_DEVICE": "tpu", "SELF_ENSEMBLE_TIME_LIMIT": "soon"}
        )


def test_an_unknown_variable_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(UsageError) as refused:
        Settings.from_environment({"SELF_ENSEMBLE_STROE": "/data"})
    message = str(refused.value)
    assert "SELF_ENSEMBLE_STROE is not a setting" in message
    assert all(PREFIX + field.upper() in message for field in Settings.model_fields)


def test_settings_survive_the_way_through_an_environment():
    every = Settings.from_environment({PREFIX + f.upper(): text for f, (text, _) in GOOD.items()})
    for settings in (Settings(), every):
        environment = settings.to_environment()
        assert all(isinstance(value, str) for value in environment.values())
        assert Settings.from_environment(environment) == settings


def test_what_is_unset_is_left_out_of_the_environment():
    assert "SELF_ENSEMBLE_PROCESSES" not in Settings().to_environment()


def test_settings_cannot_be_changed_after_they_were_checked():
    with pytest.raises(ValueError, match="frozen"):
        Settings().time_limit = 1
