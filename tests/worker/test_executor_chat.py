"""A chat run through a worker process: its rows, what is noted in its parts, and what stops it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from common.errors import StopRun
from common.run import DATE_STRING
from common.store import list_parts
from common.store.parts import read_info, read_part
from tests.worker.conftest import shard_of
from tests.worker.model.chat_templates import GEMMA, LLAMA, QWEN, R1


@pytest.fixture
def chat_model(tiny_model: Path, tmp_path: Path) -> Any:
    """A copy of the tiny model whose tokenizer has a chat template."""

    def made(template: str) -> Path:
        folder = tmp_path / "tiny-chat"
        shutil.copytree(tiny_model, folder)
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return made


def rows_of(run: Any) -> list[dict[str, Any]]:
    return [row for part in list_parts(run) for row in read_part(run.store, part).to_pylist()]


def test_a_row_has_the_literal_chat_prompt_of_its_paraphrase(executor, make_runs, chat_model):
    folder = chat_model(QWEN)
    (run,) = make_runs(model=str(folder), methods=("per_prompt",), prompt="chat").runs
    executor.execute(shard_of((run,), [0, 2]))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row in rows_of(run):
        messages = [
            {"role": "system", "content": run.spec.template.instruction},
            {"role": "user", "content": row["paraphrase"]},
        ]
        assert row["prompt"] == tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )


@pytest.mark.parametrize(
    ("template", "noted"),
    [
        (QWEN, {}),
        (GEMMA, {"system text": "first user turn"}),
        (LLAMA, {"date": DATE_STRING}),
        (R1, {"thinking": "not switched"}),
    ],
    ids=["qwen", "gemma", "llama", "r1"],
)
def test_a_part_says_what_the_template_made_of_the_format(
    executor, make_runs, chat_model, template, noted
):
    folder = chat_model(template)
    (run,) = make_runs(model=str(folder), methods=("avg",), prompt="chat").runs
    executor.execute(shard_of((run,), [0, 1]))
    part = read_info(run, *list_parts(run))
    notes = {name: part.choices.get(name) for name in ("system text", "thinking", "date")}
    assert {name: value for name, value in notes.items() if value} == noted
    assert all(part.reasons[name] for name in noted)


def test_a_worker_whose_chat_template_differs_refuses_before_it_computes(
    executor, make_runs, chat_model
):
    folder = chat_model(QWEN)
    (run,) = make_runs(model=str(folder), methods=("avg",), prompt="chat").runs
    executor.execute(shard_of((run,), [0, 1]))
    (folder / "chat_template.jinja").write_text(QWEN.replace("<think>", "<thinking>"))
    with pytest.raises(StopRun, match="was begun with the weights"):
        executor.execute(shard_of((run,), [2, 3]))
    assert len(list_parts(run)) == 1
