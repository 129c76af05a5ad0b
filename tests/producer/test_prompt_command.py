"""`producer prompt`: what it shows is what a run gives its model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.layout import PromptTokens
from common.models import find_model
from common.run import DATE_STRING
from producer.datasets import open_dataset
from producer.datasets.dataset import bundled_few_shot
from producer.prompt.literal_prompts import cut_marks
from worker.model.model_place import load_tokenizer
from worker.model.tokenizer import PromptTokenizer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "prompts.md"
ODD = ("who wrote  it?\n", " <s> é 🙂", "")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if date_string %}[{{ date_string }}]{% endif %}<assistant>"
)


@pytest.fixture
def prompt(command, tiny_model, quiz):
    """The command over the quiz, with the tiny model's tokenizer."""

    def run(*arguments, model=tiny_model, data=quiz):
        options = ("--dataset", "quiz", "--data", data, "--model", model)
        return command("prompt", *options, *arguments)

    return run


@pytest.fixture
def chat_model(tiny_model, tmp_path):
    """The tiny tokenizer with a chat template that has no system role; no weights."""
    folder = tmp_path / "chatty"
    tokenizer = load_tokenizer(find_model(str(tiny_model)))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    return folder


def document(outcome):
    assert outcome.status == 0, outcome.err
    assert outcome.out.count("\n") == 1
    return json.loads(outcome.out)


@pytest.mark.parametrize("layout", ["concat", "shared"])
@pytest.mark.parametrize("method", ["origin", "per_prompt", "weighted_max", "flex_attention"])
def test_the_document_has_the_texts_and_tokens_of_the_paraphrases_read(
    prompt, method, layout, tiny_model, quiz
):
    data = document(
        prompt("--json", "--num-paraphrases", 3, "--method", method, "--layout", layout)
    )
    dataset = open_dataset("quiz", quiz)
    sample, shots = next(dataset.samples()), bundled_few_shot(5)
    read = sample.paraphrases[: 1 if method == "origin" else 3]
    texts = [dataset.template.prompt(paraphrase, shots) for paraphrase in read]
    tokenizer = load_tokenizer(find_model(str(tiny_model)))
    assert data["uuid"] == sample.uuid
    assert data["prompts"] == [{"text": t, "tokens": tokenizer(t)["input_ids"]} for t in texts]
    cut = {"prefix", "segments", "cue"} if (method, layout) == ("flex_attention", "shared") else ()
    assert data.keys() == {"uuid", "prompts", *cut}


@pytest.mark.parametrize("paraphrases", [1, 2, 3])
@pytest.mark.parametrize("style", ["plain", "chat"])
def test_prefix_segment_and_cue_are_the_prompt(prompt, jsonl, chat_model, style, paraphrases):
    odd = jsonl([{"question": "who?", "paraphrases": ODD[:2], "answers": ["x"]}], "odd.jsonl")
    options = ("--layout", "shared", "--prompt", style, "--num-paraphrases", paraphrases)
    data = document(prompt("--json", *options, model=chat_model, data=odd))
    joined = [data["prefix"] + segment + data["cue"] for segment in data["segments"]]
    assert joined == [each["tokens"] for each in data["prompts"]]
    assert len(joined) == paraphrases


def test_the_text_for_people_holds_every_prompt_and_token_id(prompt):
    options = ("--num-paraphrases", 2, "--num-few-shot", 2, "--layout", "shared")
    data, shown = document(prompt("--json", *options)), prompt(*options).out
    for number, each in enumerate(data["prompts"]):
        block = shown.split(f"\nparaphrase {number}: ")[1].partition("\nparaphrase")[0]
        length, rule, *_ = block.splitlines()
        assert length == f"{len(each['tokens'])} tokens"
        text, tokens = block.split(f"{rule}\n")[1:]
        assert text == f"{each['text']}\n"
        assert re.findall(r"^(\w+): \d+ tokens?$", tokens, re.MULTILINE) == [
            "prefix", "segment", "cue",
        ]  # fmt: skip
        entries = re.split(r"  +|\n", tokens.partition("\n\nnote")[0])
        ids = [int(entry.split()[1]) for entry in entries if re.fullmatch(r"\S+ \d+", entry)]
        assert ids == each["tokens"]


def test_as_many_examples_are_shown_as_the_run_would_have(prompt):
    assert document(prompt("--json"))["prompts"][0]["text"].count("A:") == 5 + 1
    shown = document(prompt("--json", "--num-few-shot", 2))["prompts"][0]["text"]
    assert shown.count("A:") == 2 + 1


def test_notes_of_a_document_go_to_stderr(prompt, chat_model):
    outcome = prompt("--json", "--prompt", "chat", "--thinking", "on", model=chat_model)
    document(outcome)
    assert outcome.err.splitlines() == [
        "note: no --uuid is given: this is the first sample",
        "note: 5 paraphrases are asked for, the sample has 3",
        "note: system text: first user turn (the template has no system role)",
        "note: thinking: not switched (the template has no enable_thinking)",
        f"note: date: {DATE_STRING} (the template asks for today's date)",
    ]


def test_a_chat_prompt_is_the_models_own_form(prompt, chat_model, quiz):
    options = ("--prompt", "chat", "--num-few-shot", 1, "--method", "origin")
    (asked,) = document(prompt("--json", *options, model=chat_model))["prompts"]
    instruction = open_dataset("quiz", quiz).template.instruction
    ((question, answer),) = bundled_few_shot(1)
    assert asked["text"] == (
        f"<s><user>{instruction}\n\n{question}\n<assistant>{answer}\n<user>question 0?\n"
        f"[{DATE_STRING}]<assistant>"
    )
    assert asked["tokens"].count(0) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "avg", "--layout", "shared"], "change nothing, because avg packs no"),
        (["--method", "weighted_max"], "weighted_max reads one of these prompts: that of the"),
        (["--num-paraphrases", 1], "flex_attention makes of one paraphrase the plain prompt"),
    ],
)
def test_what_a_method_makes_of_the_prompts_is_noted(prompt, arguments, said):
    assert said in prompt(*arguments).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--uuid", "no-such"], "error: --uuid 'no-such' is no sample of data set 'quiz'"),
        (["--prompt", "chat"], "needs a chat template, and the model's tokenizer has none"),
        (["--prompt", "no-such.toml"], "error: --prompt 'no-such.toml' is neither plain nor"),
        (["--thinking", "on"], "error: --thinking on needs --prompt chat"),
        (["--revision", "main"], "error: --revision main needs a model of the hub"),
        (["--model", "owner/not-here"], "tried the hub id owner/not-here"),
        (["--num-manual", "2"], "error: --dataset quiz has no manual and automatic"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(prompt, monkeypatch, arguments, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    outcome = prompt(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("name", ["transformers", "jinja2"])
def test_without_transformers_the_person_is_told_what_to_install(prompt, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    outcome = prompt()
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        f"error: the tokens of a prompt need the model's tokenizer, and {name} cannot be "
        "imported here; pip install 'self-ensemble[tokenizer]'\n"
    )


def without_torch(*arguments):
    """Run the command in a process that cannot import torch, and has no trace of it at the end."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"sys.argv = ['producer', *{list(map(str, arguments))!r}]\n"
        "from producer.cli import main\nmain()\n"
        "assert not {'accelerate', 'gguf'} & {name.partition('.')[0] for name in sys.modules}"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["prompt", "mask"])
def test_without_torch_prompts_and_masks_are_shown_and_nothing_is_said_of_it(
    command, chat_model, quiz, name
):
    options = ("--dataset", "quiz", "--data", quiz, "--model", chat_model, "--prompt", "chat")
    arguments = (name, *options, "--num-paraphrases", 3, "--json")
    done, wanted = without_torch(*arguments), command(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted.out, wanted.err)


@pytest.mark.model
def test_without_torch_the_packaged_model_has_to_be_unpacked_already(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = without_torch("prompt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has to be unpacked once with torch, which is not installed here" in done.stderr
    assert "pip install 'self-ensemble[worker]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("layout", "positions", "cut", "marked"),
    [
        ("concat", "sequential", ((0,), (0, 5), ((1,), (2,)), (9,)), [
            "prefix 0, segment 5 1 9", "prefix 0, segment 5 2, tail 9"]),
        ("concat", "aligned", ((), (5,), ((1,), (2,)), (9,)), [
            "segment 5 1, left out 9", "segment 5 2, tail 9"]),
        ("shared", "aligned", ((), (5,), ((1, 3), (2, 4)), ()), [
            "prefix 5, segment 1 3", "prefix 5, segment 2, tail 4"]),
        ("shared", "sequential", ((), (5,), ((1, 3), ()), ()), [
            "prefix 5, segment 1, tail 3", "prefix 5"]),
        ("shared", "aligned", ((), (), ((), (2,)), (9, 8)), ["cue 9 8", "segment 2, cue 9 8"]),
        ("shared", "aligned", ((), (5,), ((1,),), (9,)), ["prompt 5 1 9"]),
        (None, None, ((), (5,), ((1,), ()), (9,)), ["prompt 5 1 9", "prompt 5 9"]),
    ],
)  # fmt: skip
def test_parts_are_marked_as_they_stand_in_the_packed_prompt(layout, positions, cut, marked):
    tokens = PromptTokens(*cut)
    parts = cut_marks(tokens, layout, positions)
    shown = [", ".join(f"{n} {' '.join(map(str, ids))}" for n, ids in prompt) for prompt in parts]
    assert shown == marked
    assert [sum((ids for _, ids in prompt), ()) for prompt in parts] == list(tokens.prompts)


BLOCK = re.compile(r"    \$ COLUMNS=(\d+) producer (.*)\n((?:    .*\n|\n)*)")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page's text; its prompt file lies in the working directory."""
    text = PAGE.read_text(encoding="utf-8")
    (name,) = re.findall(r"A prompt file, such as `(.+?)`", text)
    (content,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return text


@pytest.mark.model
def test_the_page_shows_what_its_commands_print(command, page, monkeypatch):
    blocks = BLOCK.findall(page)
    assert len(blocks) == 4
    for columns, typed, shown in blocks:
        monkeypatch.setenv("COLUMNS", columns)
        outcome = command(*typed.split())
        assert (outcome.status, outcome.err) == (0, "")
        wanted = [line.rstrip() for line in outcome.out.splitlines()]
        assert [line[4:].rstrip() for line in shown.rstrip().splitlines()] == wanted


@pytest.mark.model
def test_the_tokens_that_the_page_says_melt_do(page):
    tokenizer = load_tokenizer(find_model("smollm2_135m_it"))

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    assert ids("Q: ") == [65, 42, 216]
    assert ids("Q: what") == [65, 42, 732]
    assert ids("\n\n") == [1116]
    assert ids(".\n\nQ") == [30, 198, 198, 65]
    assert PromptTokenizer(tokenizer).bos == ()
    for said in ("`Q 65  : 42  · 216`", "`Q 65  : 42  ·what 732`", "`⏎⏎ 1116`", "`what 5588`"):
        assert said in page
