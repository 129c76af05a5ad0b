"""Settings of a checkpoint that would change a greedy answer are noted, and not applied."""

import pytest

from tests.worker.checkpoints import configured

ASKED = {
    "repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "suppress_tokens": [5, 7],
    "begin_suppress_tokens": [4], "forced_eos_token_id": 1, "bad_words_ids": [[3]],
    "min_new_tokens": 4, "num_beams": 4, "min_length": 7,
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_a_checkpoint_asks_beyond_greedy_is_noted_and_not_applied(load, name):
    note = load(configured("generation_config.json", **{name: ASKED[name]})).notes["generation"]
    assert note.value == "greedy"
    assert note.reason == f"not applied of the checkpoint: {name}={ASKED[name]}"


@pytest.mark.parametrize(
    "fields",
    [
        {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20},
        {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1, "min_length": 0},
        {"suppress_tokens": [], "bad_words_ids": None},
    ],
)
def test_sampling_and_neutral_settings_are_passed_over(load, fields):
    """Answers are greedy, or drawn as the run says."""
    assert load(configured("generation_config.json", **fields)).notes == {}
