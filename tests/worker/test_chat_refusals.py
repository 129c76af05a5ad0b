"""A chat with a model that has no chat template: a producer without its files cannot know."""

import pytest

from common.errors import StopRun
from common.store import list_parts
from producer import prompt_notes
from tests.worker.conftest import shard_of


def test_it_stops_the_run_with_what_to_do_and_is_no_error_of_a_sample(
    executor, make_runs, monkeypatch
):
    monkeypatch.setattr(prompt_notes, "_refuse_without_template", lambda known: None)
    (run,) = make_runs(methods=("avg",), prompt="chat").runs
    with pytest.raises(StopRun) as stopped:
        executor.execute(shard_of((run,), [0, 1]))
    sentence = str(stopped.value)
    assert sentence.startswith(
        "--prompt chat needs a chat template, and the model's tokenizer has"
    )
    assert sentence.endswith("take --prompt plain, or an instruct model")
    assert "\n" not in sentence
    assert list_parts(run) == []
