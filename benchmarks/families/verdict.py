"""The verdict on a tiny model of a family: compare it with `generate` and the reference.

Weights are large, so that attention decides the tokens: all prompts end alike, and a model that
gives every prompt the same answer tests nothing.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from benchmarks.families.sizes import EOS
from benchmarks.random_llama import make_tokenizer
from common.errors import SampleError, StopRun, first_line
from common.layout import TokenIds, pack_plain
from common.methods import METHODS
from common.prompts import PromptFormat, Template
from common.run import Layout, Positions
from worker.engine.answer_end import EndRules
from worker.engine.attention.choose import short_form
from worker.engine.canary import check_engine
from worker.engine.engine import Engine
from worker.engine.reference import reference_decode, reference_prompts
from worker.engine.request import Request
from worker.model.geometry import geometry_of
from worker.model.tokenizer import PromptTokenizer

SEED = 7

Kind = Literal["exact", "refused", "wrong", "error", "not built"]

_FORMAT = PromptFormat(
    Template(instruction="Say one word."), (("who is it?", "Ann"), ("where is it?", "Rome"))
)
_SAMPLES = tuple(
    (f"who is {name}?", f"{name} is the name of", "tell me " * i + name)
    for i, name in enumerate(["7", "Ann", "the one or not", "it"])
)
_NEW_TOKENS = 6
_LEAST_ANSWERS = 4


@dataclass(frozen=True)
class Verdict:
    """Whether the engine answers a model as transformers does, and the reason if not."""

    kind: Kind
    text: str = ""


class _Different(Exception):
    """The engine's tokens differ from the expected ones."""


class _NotBuilt(Exception):
    """Nothing to compare with: no model, no answers of `generate`, or equal answers."""


def judge(config: PreTrainedConfig) -> Verdict:
    """Build the model, answer prompts with it and compare. Exceptions become verdicts."""
    try:
        model = random_model(config)
    except Exception as error:
        return Verdict("not built", named(error))
    try:
        _compare(model)
    except (StopRun, SampleError) as error:
        return Verdict("refused", first_line(error))
    except _NotBuilt as error:
        return Verdict("not built", str(error))
    except _Different as error:
        return Verdict("wrong", str(error))
    except Exception as error:
        return Verdict("error", named(error))
    return Verdict("exact")


def random_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Seeded float32 model with large weights and with norms and biases that differ."""
    torch.manual_seed(SEED)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    draws = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=draws)
            if weight.dim() > 1 and "norm" not in name:
                weight.copy_(0.5 * drawn)
            else:
                weight.add_(0.1 * drawn if name.endswith("bias") else 0.3 * drawn)
    model.eval()
    return model


def _compare(model: PreTrainedModel) -> None:
    """Raise StopRun if a worker refuses the model, _Different if an answer is wrong."""
    twin = copy.deepcopy(model)
    tokenizer = make_tokenizer(_texts(), 300, bos=False)
    engine = Engine(model, tokenizer, short_form(geometry_of(model).softcap))
    check_engine(engine)
    prompts = PromptTokenizer(tokenizer)
    _compare_with_generate(engine, twin, prompts)
    _compare_with_reference(engine, twin, prompts, _request("flex_attention", "concat"))
    _compare_with_reference(engine, twin, prompts, _request("flex_attention", "shared", "aligned"))


def _compare_with_generate(
    engine: Engine, twin: PreTrainedModel, prompts: PromptTokenizer
) -> None:
    """Compare prompts of several samples packed together with each prompt alone."""
    answers = _answers(engine, _request("per_prompt", "concat"))
    alone = list(_plain_prompts(prompts))
    wanted = [_generate(twin, prompt) for prompt in alone]
    if len(set(wanted)) < _LEAST_ANSWERS:
        raise _NotBuilt(f"its {len(wanted)} answers are only {len(set(wanted))} different ones")
    if wrong := _num_different(answers, wanted):
        raise _Different(f"{wrong} of {len(wanted)} answers differ from generate")


def _num_different(answers: list[TokenIds], wanted: list[TokenIds]) -> int:
    """Number of answers that do not begin the wanted one; answers end at a newline."""
    return sum(got != full[: len(got)] for got, full in zip(answers, wanted, strict=True))


def _compare_with_reference(
    engine: Engine, twin: PreTrainedModel, prompts: PromptTokenizer, request: Request
) -> None:
    """Compare all paraphrases of a sample in one prompt with the dense 4-D mask."""
    answers = _answers(engine, request)
    (method,) = request.methods
    rules, token_bytes = EndRules(eos_ids=(EOS,)), prompts.token_bytes.by_id
    wrong = 0
    for sample, got in zip(_SAMPLES, answers, strict=True):
        pieces = prompts.cut(_FORMAT, sample)
        (packed,) = reference_prompts(pieces, method, request.layout, request.positions)
        wanted = reference_decode(twin, packed, method, rules, token_bytes, _NEW_TOKENS)
        wrong += got != wanted.tokens
    if wrong:
        raise _Different(
            f"{wrong} of {len(answers)} answers of {request.layout} differ from the reference"
        )


def _request(method: str, layout: Layout, positions: Positions = "sequential") -> Request:
    return Request(
        methods=(METHODS[method],),
        num_paraphrases=len(_SAMPLES[0]),
        layout=layout,
        positions=positions,
        prompt_format=_FORMAT,
        max_new_tokens=_NEW_TOKENS,
    )


def _answers(engine: Engine, request: Request) -> list[TokenIds]:
    """Tokens of every answer. Raises the SampleError of a sample without one."""
    (method,) = request.methods
    output = engine.run(_SAMPLES, request)
    return [answer.tokens for answers in output.answers for answer in answers.all(method.name)]


def _plain_prompts(prompts: PromptTokenizer) -> Iterator[TokenIds]:
    for pieces in prompts.cut_all(_FORMAT, _SAMPLES):
        for number in range(len(pieces.prompts)):
            yield pack_plain(pieces, number).tokens


def _generate(model: Any, prompt: TokenIds) -> TokenIds:
    """Greedy tokens of transformers after a prompt. Raises _NotBuilt if `generate` fails."""
    ids = torch.tensor([prompt])
    try:
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=_NEW_TOKENS,
                do_sample=False,
                eos_token_id=EOS,
                pad_token_id=EOS,
            )
    except Exception as error:
        raise _NotBuilt(f"generate fails with it: {named(error)}") from error
    return tuple(output[0, len(prompt) :].tolist())


def _texts() -> list[str]:
    return [
        _FORMAT.template.prompt(paraphrase, _FORMAT.few_shot)
        for sample in _SAMPLES
        for paraphrase in sample
    ]


def named(error: Exception) -> str:
    """Class and message of an exception, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
