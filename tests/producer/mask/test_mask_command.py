"""`producer mask` at the terminal: pictures, notes and refusals."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from common.models import find_model
from producer.datasets import open_dataset
from producer.datasets.dataset import bundled_few_shot
from worker.model.model_place import load_tokenizer
from worker.model.tokenizer import PromptTokenizer

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def mask(command, tiny_model, quiz):
    """The command over the quiz, with the tiny model's tokenizer."""

    def run(*arguments):
        options = ("--dataset", "quiz", "--data", quiz, "--model", tiny_model)
        return command("mask", *options, "--num-paraphrases", 3, *arguments)

    return run


def document(outcome):
    assert (outcome.status, outcome.err) == (0, "")
    return json.loads(outcome.out)


@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_the_document_holds_the_mask_of_the_prompt(mask, layout, tiny_model, quiz):
    data = document(mask("--json", "--layout", layout))
    source = open_dataset("quiz", quiz)
    sample = next(source.samples())
    assert (data["dataset"], data["uuid"], data["model"]) == ("quiz", sample.uuid, "tiny-llama")
    assert data["positions_mode"] == {"concat": "sequential", "shared": "aligned"}[layout]
    text = "".join(data["tokens"]).replace("·", " ").replace("⏎", "\n")
    shots, template = bundled_few_shot(1), source.template
    if layout == "concat":
        assert text == "".join(template.prompt(w, shots) for w in sample.paraphrases)
    else:
        first, *others = sample.paraphrases
        rest = "".join(f" {paraphrase}" for paraphrase in others)
        assert text == template.prompt(first, shots).removesuffix("\nA:") + rest + "\nA:"
    groups = np.array(data["group_ids"])
    assert len(groups) == len(data["tokens"]) == len(data["positions"]) == len(data["token_ids"])
    assert np.array_equal(np.unique(groups), np.arange(layout == "concat", 5))
    assert np.array(data["table"]).shape == (5, 5) == (len(data["groups"]),) * 2
    assert data["block_size"] == 128
    assert data["bias"] is None


def test_the_first_sample_and_one_example_are_taken_and_said(mask):
    out = mask().out
    assert "note: no --uuid is given: this is the first sample" in out
    assert "note: 1 few-shot example is shown of 5" in out
    assert "note: block sparsity is that of this prompt alone" in out


def test_what_is_asked_for_needs_no_note(mask, quiz):
    third = list(open_dataset("quiz", quiz).samples())[2]
    data = document(mask("--json", "--uuid", third.uuid, "--num-few-shot", 2))
    assert data["uuid"] == third.uuid
    assert "".join(data["tokens"]).count("A:") == 3 * 3
    assert not [note for note in data["notes"] if "uuid" in note or "few-shot" in note]


def test_examples_come_from_the_file_given(mask, jsonl):
    shots = jsonl([{"question": "from a file?", "answers": ["yes"]}], "shots.jsonl")
    data = document(mask("--json", "--few-shot", shots, "--layout", "shared"))
    assert "Q:·from·a·file?⏎A:·yes⏎⏎" in "".join(data["tokens"])


def test_examples_taken_in_place_of_the_hubs_are_said(command, tiny_model, quiz, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("producer.datasets.hub.load_split", unreachable)
    options = ("--data", quiz, "--num-paraphrases", 2, "--model", tiny_model, "--json")
    data = document(command("mask", "--dataset", "webqa", *options))
    assert "capital·of·italy" in "".join(data["tokens"])
    assert [n for n in data["notes"] if "5 bundled ones instead of the train split" in n]
    refused = command("mask", "--dataset", "webqa", *options, "--num-few-shot", 1)
    assert refused.status == 2
    assert "give a file with --data, and few-shot examples with --few-shot" in refused.err


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("origin", "origin reads the question alone, in a plain prompt"),
        ("avg", "avg gives every paraphrase a plain prompt of its own; this is the first of 3"),
        (
            "weighted_max",
            "weighted_max reads the most confident paraphrase in a plain prompt; this is the",
        ),
    ],
)
def test_methods_without_a_packed_prompt_say_so(mask, method, message):
    out = mask("--method", method, "--layout", "shared").out
    assert message in out
    assert f"{method}, plain prompt, tiny-llama" in out
    assert "--layout and --positions change nothing in a plain prompt" in out


def test_one_paraphrase_is_said_to_be_plain(mask):
    out = mask("--num-paraphrases", 1).out
    assert "flex_attention makes of one paraphrase the plain prompt" in out
    assert "--layout and --positions" not in out


def test_the_bias_of_the_length_corrected_method_is_said_for_each_paraphrase(mask):
    outcome = mask("--method", "flex_attention_length_corrected", "--json", "--layout", "shared")
    data = document(outcome)
    lengths = [data["group_ids"].count(g) for g in range(5)]
    logs = np.log(lengths[1:4])
    biases = logs.mean() - logs
    assert len(set(lengths[1:4])) > 1
    assert data["bias"] == pytest.approx([0, *biases, 0])
    (note,) = [note for note in data["notes"] if "adds to its scores" in note]
    assert re.findall(r"paraphrase (\d) ([+-][\d.]+) \((\d+) tokens\)", note) == [
        (str(i), f"{biases[i]:+.2f}", str(lengths[i + 1])) for i in range(3)
    ]


def test_cross_manual_is_refused_where_nobody_says_what_is_manual(mask):
    outcome = mask("--method", "flex_attention_cross_manual")
    assert (outcome.status, outcome.out) == (2, "")
    assert "data set 'quiz' does not tell which are manual" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.fixture
def facts(command, tiny_model, jsonl):
    """The command over one fact with three manual paraphrases and two automatic ones."""
    paraphrases = {
        "manual_paraphrases": [f"{name} is in [MASK]." for name in ("Oslo", "Rome", "Lima")],
        "auto_paraphrases": ["[MASK] has it.", "It is in [MASK]."],
    }
    path = jsonl([{"uuid": "f-1", "answers": ["Norway"], **paraphrases}], "facts.jsonl")
    options = ("--dataset", "myriadlama", "--data", path, "--model", tiny_model, "--json")

    def run(*arguments):
        return document(command("mask", *options, "--num-few-shot", 0, *arguments))

    return run


def test_cross_manual_lets_the_manual_paraphrases_of_the_selection_see_each_other(facts):
    data = facts("--method", "flex_attention_cross_manual", "--num-manual", 2, "--num-auto", 1)
    assert (data["layout"], data["positions_mode"]) == ("shared", "aligned")
    assert np.array(data["table"]).astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [1, 1, 1, 1, 1],
    ]


def test_a_selection_that_finds_fewer_paraphrases_says_so(facts):
    data = facts("--num-manual", 2, "--num-auto", 3)
    assert "5 paraphrases are asked for, the sample has 4" in data["notes"]
    assert data["groups"] == ["prefix", *(f"paraphrase {n}" for n in range(4)), "answer cue"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--uuid", "no-such"], "error: --uuid 'no-such' is no sample of data set 'quiz'"),
        (
            ["--num-paraphrases", "4"],
            "has 3 paraphrases in all, 4 are asked for; ask for fewer",
        ),
        (["--model", "nobody"], "error: model 'nobody' is no directory here"),
        (["--png", "picture.gif"], "error: --png picture.gif: the name must end in .png"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(mask, arguments, message):
    outcome = mask(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_image_is_named_and_described(mask, tmp_path):
    outcome = mask("--png", tmp_path / "mask.png")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{tmp_path / 'mask.png'}:\nquiz, sample ")
    assert "block sparsity" in outcome.out
    assert "█" not in outcome.out
    assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG")


def test_image_and_document_may_be_had_together(mask, tmp_path):
    document(mask("--png", tmp_path / "mask.png", "--json"))
    assert (tmp_path / "mask.png").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_cannot_show_blocks_gets_the_picture_in_ascii(mask, monkeypatch, encoding):
    drawn = mask().out
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", screen)
    assert (mask().status, mask("--uuid", "nobody").status) == (0, 2)
    text = screen.buffer.getvalue().decode(encoding)
    signs = str.maketrans("▀▄█░│┼", "'.#-|+")
    rows = [line for line in drawn.splitlines() if set("▀▄█") & set(line[24:])]
    assert rows
    assert [row[24:].translate(signs) for row in rows if row[24:].translate(signs) in text] == [
        row[24:].translate(signs) for row in rows
    ]
    assert "rows read columns; - earlier, not seen; # both, ' the upper, . the lower" in text


@pytest.mark.model
def test_the_picture_in_the_docs_is_what_its_command_prints(command, monkeypatch):
    text = (DOCS / "masks.md").read_text(encoding="utf-8")
    example = re.search(r"    \$ COLUMNS=(\d+) producer (.*)\n((?:    .*\n|\n)*)", text)
    columns, typed, shown = example.groups()
    monkeypatch.setenv("COLUMNS", columns)
    outcome = command(*typed.split())
    assert outcome.err == ""
    wanted = [line.rstrip() for line in outcome.out.splitlines()]
    assert [line[4:].rstrip() for line in shown.rstrip().splitlines()] == wanted


@pytest.mark.model
def test_the_packaged_tokenizer_shows_its_special_tokens(smollm2_tokens):
    assert smollm2_tokens("<|im_start|>user") == ["<|im_start|>", "user"]


@pytest.fixture
def smollm2_tokens():
    tokenizer = load_tokenizer(find_model("smollm2_135m_it"))
    literal = PromptTokenizer(tokenizer).literal
    return lambda text: [
        literal(t) for t in tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
