"""Chat prompts are what the model's own template writes, whatever the clock says."""

import datetime

import pytest
import transformers.utils.chat_template_utils as chat_template_utils

from common.errors import SampleError, StopRun
from common.prompts import PromptFormat, Template
from common.run import DATE_STRING
from tests.worker.engine.families import BOS, EOS, FEW_SHOT, make_tokenizer
from tests.worker.model.chat_templates import (
    ALL,
    CLOCKED,
    DEAF,
    GEMMA,
    LLAMA,
    MISTRAL,
    PARTS,
    QWEN,
    R1,
    SPELLED,
)
from worker.model.chat import ChatTemplate
from worker.model.tokenizer import PromptTokenizer

INSTRUCTION = "Say one word."
BLANK_AROUND = " \twho is\n\nit? \n"
PARAPHRASES = ("who is it?", "", BLANK_AROUND, "is it [MASK]?", "日é 🙂?", "Q: who?\nA:")
GOLDEN = {
    "llama": "<s><|start|>system<|end|>\n\nToday Date: 26 Jul 2024\n\nSay one word.<|eot|>"
    "<|start|>user<|end|>\n\nwho is it?<|eot|><|start|>assistant<|end|>\n\nAnn<|eot|>"
    "<|start|>user<|end|>\n\nwho?<|eot|><|start|>assistant<|end|>\n\n",
    "clocked": "\n<s>It is 2024-07-26, a Friday.\n"
    "system: Say one word.\nuser: who is it?\nassistant: Ann\nuser: who?\n",
    "gemma": "<s><|start|>user\nSay one word.\n\nwho is it?<|end|>\n<|start|>model\nAnn<|end|>\n"
    "<|start|>user\nwho?<|end|>\n<|start|>model\n",
    "qwen": "<|start|>system\nSay one word.<|end|>\n<|start|>user\nwho is it?<|end|>\n"
    "<|start|>assistant\nAnn<|end|>\n<|start|>user\nwho?<|end|>\n<|start|>assistant\n"
    "<think>\n\n</think>\n\n",
    "r1": "<s>Say one word.<|user|>who is it?<|model|>Ann<|end|><|user|>who?<|model|><think>\n",
    "mistral": "<s>[INST] who is it?[/INST] Ann</s>[INST] Say one word.\n\nwho?[/INST]",
}
"""What each template writes for one example, written by hand."""


def tokenizer_with(template, bos=True):
    tokenizer = make_tokenizer(bos)
    tokenizer.add_tokens(list(SPELLED), special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


def chat_format(instruction=INSTRUCTION, few_shot=FEW_SHOT, thinking=False, date=DATE_STRING):
    return PromptFormat(Template(instruction=instruction), few_shot, "chat", thinking, date)


def ask(template, text, **changes):
    (prompt,) = ChatTemplate(tokenizer_with(template)).prompts(chat_format(**changes), [text])
    return prompt


@pytest.fixture
def tomorrow(monkeypatch):
    """Another day, as transformers' `strftime_now` tells it."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 2, 3)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


def turns(paraphrase, system=True, few_shot=FEW_SHOT, instruction=INSTRUCTION):
    """The conversation, written out a second time."""
    listed = [{"role": "system", "content": instruction}] if system else []
    for question, answer in few_shot:
        listed += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    return [*listed, {"role": "user", "content": paraphrase}]


@pytest.mark.parametrize("family", ALL)
def test_a_chat_prompt_is_the_one_written_by_hand(family, tomorrow):
    assert ask(ALL[family], "who?", few_shot=FEW_SHOT[:1]) == GOLDEN[family]


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen", "r1", "mistral"])
def test_the_tokens_are_those_of_apply_chat_template(family, bos):
    tokenizer = tokenizer_with(ALL[family], bos)
    tokens = PromptTokenizer(tokenizer).tokens(chat_format(), PARAPHRASES)
    for paraphrase, got in zip(PARAPHRASES, tokens, strict=True):
        wanted = tokenizer.apply_chat_template(
            turns(paraphrase), add_generation_prompt=True, return_dict=False,
            date_string=DATE_STRING, enable_thinking=False,
        )  # fmt: skip
        assert list(got) == wanted


@pytest.mark.parametrize("family", ALL)
def test_the_bos_of_the_template_is_the_only_one(family):
    for tokens in PromptTokenizer(tokenizer_with(ALL[family])).tokens(chat_format(), PARAPHRASES):
        assert tokens.count(BOS) == (family != "qwen")
        assert (tokens[family == "clocked"] == BOS) == (family != "qwen")
        assert tokens[-1] != EOS


@pytest.mark.parametrize("family", ["clocked", "gemma", "qwen", "r1", "mistral"])
def test_prompts_asked_together_are_those_asked_alone(family):
    chat = ChatTemplate(tokenizer_with(ALL[family]))
    alone = [chat.prompts(chat_format(), [paraphrase])[0] for paraphrase in PARAPHRASES]
    assert chat.prompts(chat_format(), PARAPHRASES) == alone
    assert chat.prompts(chat_format(), []) == []


@pytest.mark.parametrize("date", ["26 Jul 2024", "03 Jan 1999"])
def test_a_template_that_tells_today_tells_the_date_of_the_run(date, tomorrow):
    day = datetime.datetime.strptime(date, "%d %b %Y")
    assert f"It is {day:%Y-%m-%d}, a {day:%A}.\n" in ask(CLOCKED, "who?", date=date)
    assert f"Today Date: {date}\n" in ask(LLAMA, "who?", date=date)


def test_without_our_date_the_clock_would_have_been_read(tomorrow):
    tokenizer = tokenizer_with(CLOCKED)
    assert "It is 2031-02-03" in tokenizer.apply_chat_template(turns("who?"), tokenize=False)


def test_a_fixed_date_changes_nothing_else_of_what_a_template_writes(tomorrow):
    tokenizer = tokenizer_with(CLOCKED.replace("{# today's", "{# that"))
    theirs = tokenizer.apply_chat_template(turns("who?"), tokenize=False)
    ours = ChatTemplate(tokenizer).prompts(chat_format(date="03 Feb 2031"), ["who?"])
    assert ours == [theirs]


@pytest.mark.parametrize("template", [LLAMA, CLOCKED])
def test_a_format_without_a_date_does_not_read_the_clock_either(template, tomorrow):
    assert ask(template, "who?", date=None) == ask(template, "who?")


@pytest.mark.parametrize(
    "clock",
    [
        "{{ strftime_now(form) }}",
        "{{ strftime_now('%d ' + '%b') }}",
        "{% set now = strftime_now %}{{ now('%d') }}",
        "{{ '%d' | map(strftime_now) }}",
    ],
)
def test_a_date_that_a_template_computes_is_refused(clock):
    with pytest.raises(StopRun, match=r"in a form that it computes.* --prompt plain"):
        ask(clock + CLOCKED, "who?")


@pytest.mark.parametrize("shots", [FEW_SHOT, ()])
def test_without_a_system_role_the_instruction_stands_before_the_first_user_turn(shots):
    text = ask(GEMMA, "who?", few_shot=shots)
    first = shots[0][0] if shots else "who?"
    assert text.startswith(f"<s><|start|>user\n{INSTRUCTION}\n\n{first}<|end|>\n")
    assert text.count(INSTRUCTION) == 1


def test_an_instruction_that_a_template_would_drop_stands_before_the_first_user_turn():
    text = ask(DEAF, "who?")
    assert text.startswith(f"user: {INSTRUCTION}\n\n{FEW_SHOT[0][0]}\nassistant: ")


def test_without_an_instruction_there_is_no_system_message():
    assert ask(QWEN, "who?", instruction="", few_shot=()).startswith("<|start|>user\nwho?<|end|>")
    assert ask(GEMMA, "who?", instruction="", few_shot=()).startswith("<s><|start|>user\nwho?")


@pytest.mark.parametrize("family", ["qwen", "r1", "mistral", "clocked"])
def test_texts_are_not_stripped(family):
    shots = ((BLANK_AROUND, f"{BLANK_AROUND}!"),)
    text = ask(ALL[family], f"{BLANK_AROUND}?", instruction=f" {INSTRUCTION}\n", few_shot=shots)
    for literal in (f" {INSTRUCTION}\n", BLANK_AROUND, f"{BLANK_AROUND}!", f"{BLANK_AROUND}?"):
        assert literal in text


def test_the_questions_are_turns_without_the_marks_of_a_plain_prompt():
    text = ask(QWEN, "who?")
    assert "Q:" not in text
    assert "A:" not in text


@pytest.mark.parametrize("thinking", [True, False])
def test_the_switch_for_thinking_is_passed(thinking):
    ending = ask(QWEN, "who?", thinking=thinking).rpartition("<|start|>assistant\n")[2]
    assert ending == ("" if thinking else "<think>\n\n</think>\n\n")


@pytest.mark.parametrize("thinking", [True, False])
def test_a_template_without_a_switch_is_left_alone_and_that_is_said(thinking):
    chat, asked = ChatTemplate(tokenizer_with(R1)), chat_format(thinking=thinking)
    assert chat.prompts(asked, ["who?"])[0].endswith("<|user|>who?<|model|><think>\n")
    notes = {name: str(note) for name, note in chat.notes(asked).items()}
    assert notes == {"thinking": "not switched (the template has no enable_thinking)"}


def test_a_template_that_knows_nothing_of_reasoning_is_noted_only_if_it_is_asked_for():
    chat = ChatTemplate(tokenizer_with(MISTRAL))
    assert "thinking" not in chat.notes(chat_format(thinking=False))
    assert "thinking" in chat.notes(chat_format(thinking=True))


def test_a_switch_that_only_a_comment_names_is_none():
    assert not ChatTemplate(tokenizer_with("{# enable_thinking #}" + R1)).switches_thinking


def said(template, **changes):
    notes = ChatTemplate(tokenizer_with(template)).notes(chat_format(**changes))
    return {name: str(note) for name, note in notes.items() if name != "thinking"}


def test_what_a_template_made_of_a_format_is_said():
    moved = "first user turn (the template has no system role)"
    dated = "26 Jul 2024 (the template asks for today's date)"
    assert said(QWEN) == said(MISTRAL) == {}
    assert said(GEMMA) == said(DEAF) == {"system text": moved}
    assert said(GEMMA, instruction="") == {}
    assert said(LLAMA) == said(CLOCKED) == said(CLOCKED, date=None) == {"date": dated}
    assert "thinking" not in ChatTemplate(tokenizer_with(QWEN)).notes(chat_format())


def test_a_plain_prompt_has_no_notes_and_needs_no_template():
    plain = PromptFormat(Template(instruction=INSTRUCTION), FEW_SHOT)
    assert ChatTemplate(tokenizer_with(None)).notes(plain) == {}
    assert ChatTemplate(tokenizer_with(LLAMA)).notes(plain) == {}


def test_a_tokenizer_without_a_template_is_refused():
    with pytest.raises(StopRun) as refused:
        ask(None, "who?")
    assert str(refused.value) == (
        "--prompt chat needs a chat template, and the model's tokenizer has none; "
        "take --prompt plain, or an instruct model"
    )


def test_of_several_templates_the_default_is_taken():
    assert ask({"rag": GEMMA, "default": R1}, "who?") == ask(R1, "who?")
    with pytest.raises(StopRun, match="has rag, tool_use, and no `default`; take --prompt plain"):
        ask({"rag": GEMMA, "tool_use": R1}, "who?")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('not today') }}", "not today"),
        ("{% for message in messages %}", "Unexpected end of template"),
        ("{{ messages[0]['content'] + 7 }}", "can only concatenate str"),
        ("{{ messages[99]['content'] + 'a' }}", "has no element 99"),
        ("user: {{ messages[-1]['content'] }}", "does not write the text 'who is it"),
        (PARTS, "does not write the text 'What is"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_a_sentence(template, reason):
    with pytest.raises(StopRun, match=f"chat template cannot be used: .*{reason}.*; take --promp"):
        ask(template, "who?", few_shot=FEW_SHOT if "-1" in template else ())


def test_a_text_that_a_template_refuses_is_the_fault_of_its_sample():
    picky = QWEN + "{% if '7!' in messages[-1].content %}{{ raise_exception('no') }}{% endif %}"
    chat = ChatTemplate(tokenizer_with(picky))
    assert len(chat.prompts(chat_format(), ["who?", "is it 7?"])) == 2
    with pytest.raises(SampleError, match="chat template refuses its text: no"):
        chat.prompts(chat_format(), ["who?", "is it 7!"])


@pytest.mark.parametrize("family", ALL)
def test_the_cut_prompts_of_a_chat_are_the_whole_prompts(family):
    prompts = PromptTokenizer(tokenizer_with(ALL[family]))
    cut = prompts.cut(chat_format(), PARAPHRASES[:2])
    assert cut.prompts == tuple(prompts.tokens(chat_format(), PARAPHRASES[:2]))
    assert len(cut.prefix) > 9


@pytest.mark.model
def test_the_real_model_is_asked_in_its_own_form(smollm2):
    (text,) = PromptTokenizer(smollm2).texts(chat_format(few_shot=FEW_SHOT[:1]), ["who?"])
    assert text == (
        "<|im_start|>system\nSay one word.<|im_end|>\n<|im_start|>user\nwho is it?<|im_end|>\n"
        "<|im_start|>assistant\nAnn<|im_end|>\n<|im_start|>user\nwho?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    (tokens,) = PromptTokenizer(smollm2).tokens(chat_format(), ["who?"])
    wanted = smollm2.apply_chat_template(
        turns("who?"), add_generation_prompt=True, return_dict=False
    )
    assert list(tokens) == wanted
