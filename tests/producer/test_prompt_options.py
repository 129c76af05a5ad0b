"""--prompt, --thinking, --stop, --revision: what they make of a run, and what is refused."""

import pytest

from common.errors import UsageError
from common.methods import METHODS
from common.run import DATE_STRING, MAX_NEW_TOKENS
from common.store import StoreFilesystem
from producer.prepare import prepare
from tests.common.storekit import all_files

FILE = r"""
instruction = "Do.\n"
example = "{question} {answer}\n"
question = "{question} "
cue = "="
stop = ["\n\n"]
"""
WITHOUT_EXAMPLE = "question = '{question}'"


@pytest.fixture
def here(tmp_path, monkeypatch, broker_url):
    """A directory with prompt files, a store `datasets` and a broker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELF_ENSEMBLE_BROKER", f"{broker_url.removesuffix('/0')}/9")
    (tmp_path / "mine.toml").write_text(FILE)
    (tmp_path / "bare.toml").write_text(WITHOUT_EXAMPLE)
    (tmp_path / "folder").mkdir()
    return StoreFilesystem.open("./datasets")


@pytest.fixture
def spec_of(ask, store, here):
    """The spec of the one run that a request makes."""

    def make(**changes):
        (run,) = prepare(ask(**({"max_new_tokens": None} | changes)), store).runs
        return run.spec

    return make


def test_a_plain_run_is_what_it_was(spec_of):
    spec = spec_of()
    assert (spec.prompt, spec.thinking, spec.stop) == ("plain", "off", ("\n",))
    assert (spec.date_string, spec.revision, spec.max_new_tokens) == (None, None, 20)


def test_a_chat_ends_with_the_turn_and_has_the_fixed_date(spec_of):
    spec = spec_of(prompt="chat")
    assert (spec.prompt, spec.stop, spec.date_string) == ("chat", (), DATE_STRING)


def test_the_prediction_of_a_chat_is_a_line_where_the_data_set_takes_a_word(ask, here):
    from producer.datasets.masked import PREDICT_THE_MASK

    request = ask(dataset="pararel", prompt="chat")
    assert PREDICT_THE_MASK.prediction == "word"
    assert request.chosen_template == PREDICT_THE_MASK.model_copy(update={"prediction": "line"})


def test_a_files_content_is_the_template_of_a_plain_run(spec_of):
    spec = spec_of(prompt="mine.toml")
    assert (spec.prompt, spec.stop, spec.date_string) == ("plain", ("\n\n",), None)
    assert spec.template.prompt("who?", [("q", "a")]) == "Do.\nq a\nwho? ="


def test_the_content_of_a_file_and_not_its_name_is_in_the_fingerprint(spec_of, tmp_path):
    (tmp_path / "other.toml").write_text(FILE)
    (tmp_path / "differs.toml").write_text(FILE.replace("Do", "Now do"))
    same, other, differs = (
        spec_of(prompt=f"{name}.toml").fingerprint for name in ("mine", "other", "differs")
    )
    assert same == other != differs


@pytest.mark.parametrize("prompt", ["plain", "chat", "mine.toml"])
def test_stop_strings_that_are_given_take_the_place_of_all_others(spec_of, prompt):
    assert spec_of(prompt=prompt, stop=("b", "a", "b")).stop == ("b", "a")


LIMITS = [
    ({}, 20),
    ({"prompt": "mine.toml"}, 20),
    ({"prompt": "chat"}, 64),
    ({"prompt": "chat", "thinking": "on"}, 4096),
    ({"prompt": "chat", "thinking": 512}, 576),
    ({"prompt": "chat", "thinking": MAX_NEW_TOKENS - 64}, MAX_NEW_TOKENS),
    ({"prompt": "chat", "thinking": 8, "max_new_tokens": 9}, 9),
    ({"max_new_tokens": 7}, 7),
]


@pytest.mark.parametrize(("options", "limit"), LIMITS)
def test_the_limit_of_an_answer_follows_from_the_style_unless_given(
    ask, store, here, options, limit
):
    prepared = prepare(ask(**({"max_new_tokens": None} | options)), store)
    assert prepared.runs[0].spec.max_new_tokens == limit
    said = [note for note in prepared.notes if note.startswith(f"--max-new-tokens is {limit}, ")]
    assert len(said) == (options.get("prompt") == "chat" and "max_new_tokens" not in options)


NAMES = [
    ({"prompt": "chat"}, "avg-3-chat"),
    ({"prompt": "chat", "thinking": "on"}, "avg-3-chat-thinking"),
    ({"prompt": "chat", "thinking": 512}, "avg-3-chat-thinking512"),
    ({"prompt": "chat", "methods": ("origin",)}, "origin-chat"),
    ({"prompt": "mine.toml"}, "avg-3-mine"),
    ({"stop": ("x",)}, "avg-3"),
    ({"prompt": "chat", "layout": "shared", "methods": ("flex_attention",)},
     "flex_attention-3-shared-chat"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "name"), NAMES)
def test_runs_of_other_prompts_have_other_names(ask, store, here, options, name):
    (run,) = prepare(ask(max_new_tokens=None, **options), store).runs
    assert run.key.name == name


def test_a_revision_is_another_model(ask, store):
    """Its runs stand beside those of the newest one; so do those of each revision."""
    newest, pinned, other = (
        prepare(ask(revision=revision), store).runs[0] for revision in (None, "v1", "refs/pr/3")
    )
    slugs = [run.key.model for run in (newest, pinned, other)]
    assert slugs == ["owner--model", "owner--model+v1", "owner--model+refs+pr+3"]
    assert (other.spec.revision, other.spec.model) == ("refs/pr/3", "owner/model")
    assert pinned.spec.model_source == "owner/model"


def test_paraphrases_are_written_by_one_prompt_for_all_styles(ask, store, jsonl, here):
    bare = jsonl([{"question": "who?", "answers": ["a"]}, {"question": "b?", "answers": ["c"]}])
    methods = tuple(name for name in METHODS if name != "flex_attention_cross_manual")
    made = [
        prepare(ask(data=bare, methods=methods, **options), store)
        for options in ({}, {"prompt": "chat", "thinking": "on"}, {"prompt": "mine.toml"})
    ]
    written = [run for each in made for run in each.runs if run.key.name == "paraphrases-3"]
    assert len(written) == 3
    assert len({run.spec.fingerprint for run in written}) == 1
    assert (written[0].spec.prompt, written[0].spec.stop) == ("plain", ("\n",))
    names = {run.key.name for each in made for run in each.all_runs}
    assert len(names) == 3 * (len(methods) + 1) + 1
    assert "confidence-3-chat-thinking" in names


REFUSED = [
    (["--prompt", "nowhere.toml"], ["is neither plain nor chat, nor a prompt file"]),
    (["--prompt", "folder"], ["'folder' is neither plain nor chat"]),
    (["--thinking", "on"], ["--thinking on needs --prompt chat"]),
    (["--thinking", "7", "--prompt", "mine.toml"], ["--thinking 7 needs --prompt chat"]),
    (["--thinking", "0", "--prompt", "chat"], ["'0'", "off, on and a number of tokens from 1"]),
    (["--thinking", "-1", "--prompt", "chat"], ["'-1'"]),
    (["--thinking", "yes", "--prompt", "chat"], ["'yes'"]),
    (["--thinking", "9" * 5000, "--prompt", "chat"], ["off, on and a number"]),
    (["--thinking", "32705", "--prompt", "chat"], ["32705 is too much", "32768"]),
    (["--thinking", "20", "--prompt", "chat", "--max-new-tokens", "20"],
     ["--thinking 20 leaves none of --max-new-tokens 20"]),
    (["--stop", ""], ["a stop string of 0 characters"]),
    (["--stop", "x" * 101], ["101 characters"]),
    (["--stop", "\\q"], ["no escape", "\\n is a newline"]),
    ([f"--stop={n}" for n in range(17)], ["17 stop strings; 16"]),
    (["--revision", "../main"], ["--revision '../main'", "letters, digits"]),
    (["--revision", "/main"], ["'/main'"]),
    (["--revision=-main"], ["'-main'"]),
    (["--revision", "a b"], ["'a b'"]),
    (["--revision", ""], ["''"]),
    (["--revision", "v1", "--model", "smollm2_135m_it"], ["smollm2_135m_it is bundled"]),
    (["--revision", "v1", "--model", "./folder"], ["./folder is a folder"]),
    (["--prompt", "bare.toml", "--num-few-shot", "2"], ["no key `example`", "--num-few-shot 0"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_cannot_be_asked_so_is_one_sentence_and_nothing_is_created(
    command, here, arguments, words
):
    result = command("enqueue", "--dataset", "webqa_mini", "--model", "qwen3_4b", *arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert all(word in result.err for word in words), result.err
    assert all_files(here) == []


def test_the_command_line_reads_escapes_and_repeated_stop_strings(command, here):
    result = command(
        "enqueue", "--dataset", "webqa_mini", "--model", "owner/model", "--method", "origin",
        "--stop", "\\n\\n", "--stop", "Q:", "--thinking", "12", "--prompt", "chat",
    )  # fmt: skip
    assert (result.status, result.err) == (0, "")
    from common.run import RunKey
    from common.store import open_run

    run = open_run(here, RunKey("webqa_mini", "owner--model", "origin-chat-thinking12"))
    assert (run.spec.stop, run.spec.thinking) == (("\n\n", "Q:"), 12)
    assert run.spec.max_new_tokens == 76


def test_a_file_without_an_example_shows_none_and_says_so(ask, store, here):
    prepared = prepare(ask(prompt="bare.toml", num_few_shot=None), store)
    assert prepared.runs[0].spec.few_shot == ()
    assert "few-shot examples: none, as --prompt bare.toml has no key `example`" in prepared.notes
    assert prepare(ask(prompt="bare.toml", num_few_shot=0), store).notes == ()


def test_special_tokens_that_a_file_spells_are_noted(ask, store, here, tmp_path):
    (tmp_path / "turns.toml").write_text("question = '<|im_start|>{question}'")
    (note,) = prepare(ask(prompt="turns.toml"), store).notes
    assert "instruction or examples spell" in note
    assert "'<|im_start|>'" in note


DIFFERENCES = [
    ({"stop": ("\n", "Q:")}, 'stop is ["\\n"] there and ["\\n", "Q:"] here'),
    ({"stop": ("a",)}, 'stop is ["\\n"] there and ["a"] here'),
]


@pytest.mark.parametrize(("changes", "words"), DIFFERENCES)
def test_a_run_that_exists_with_other_stop_strings_is_refused(ask, store, changes, words):
    prepare(ask(), store)
    with pytest.raises(UsageError) as refused:
        prepare(ask(**changes), store)
    assert f"avg-3 exists with another fingerprint: {words}. Give --overwrite" in str(
        refused.value
    )


def test_a_file_that_has_changed_is_refused_by_the_key_that_differs(ask, store, here, tmp_path):
    prepare(ask(prompt="mine.toml"), store)
    (tmp_path / "mine.toml").write_text(FILE.replace('"="', '"=>"'))
    with pytest.raises(UsageError, match=r"fingerprint: template\.cue is '=' there and '=>' here"):
        prepare(ask(prompt="mine.toml"), store)
