"""Runs: the key that names one, the spec that decides its rows, and the spec's fingerprint.

    >>> RunKey.parse("webqa/llama3.2_3b_it/avg-5").name
    'avg-5'

Everything that decides a run's output is a field of RunSpec; nothing about how it was
executed is. The fingerprint is the sha256 of the spec.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.errors import UsageError
from common.limits import MAX_NEW_TOKENS, MAX_STOP_LENGTH, MAX_STOP_STRINGS
from common.methods import METHODS, get_method
from common.models import with_revision
from common.prompts import Example, PromptFormat, PromptStyle, Template

SEMANTICS_VERSION = 3
"""Raised only when the same spec would give other rows than before.

2: votes and confidences compare answers by `answer_key`; a draw is an argmax over scores and noise
(`worker.engine.sampler`), no longer a walk through the cumulative sum.
3: every method reads the tokens of whole prompts (`common.layout`); with `concat` and `aligned`
every paraphrase leaves its last token to the tail.
"""

Layout = Literal["concat", "shared"]
Positions = Literal["sequential", "aligned"]
DTypeName = Literal["auto", "bfloat16", "float16", "float32"]
Thinking = Literal["off", "on"] | Annotated[int, Field(ge=1, le=1_000_000)]
"""Whether a model reasons before it answers; a number is the most tokens it may do so."""

DATE_STRING = "26 Jul 2024"
"""The date in chat prompts: the one that Llama's own template falls back to. A run that is
resumed after midnight, or made again next year, must have the same tokens."""

StopStrings = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)], ...],
    Field(max_length=MAX_STOP_STRINGS),
]

DEFAULT_POSITIONS: dict[Layout, Positions] = {"concat": "sequential", "shared": "aligned"}

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")


@dataclass(frozen=True)
class RunKey:
    """`dataset/model/name`: a run's name and its path inside the store."""

    dataset: str
    model: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.dataset, self.model, self.name):
            if not _PART.fullmatch(part) or ".." in part:
                raise UsageError(
                    f"run {str(self)!r}: {part!r} may hold letters, digits and . _ + - only, "
                    "at most 120, and starts with a letter or digit"
                )

    @classmethod
    def parse(cls, text: str) -> "RunKey":
        """Parse `dataset/model/name`. Raises UsageError for any other form."""
        parts = text.strip("/").split("/") if not text.startswith("/") else []
        if len(parts) != 3:
            raise UsageError(
                f"run {text!r} is not of the form dataset/model/name, "
                "such as webqa/llama3.2_3b_it/flex_attention-5"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.dataset}/{self.model}/{self.name}"


class SamplingParams(BaseModel):
    """Parameters of random draws: softmax at `temperature`, cut to the nucleus of `top_p`.

    num_draws: how many texts are drawn for each prompt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(gt=0, le=10)
    top_p: float = Field(gt=0, le=1)
    num_draws: int = Field(1, ge=1, le=10_000)


class RunSpec(BaseModel):
    """Everything that decides a run's rows.

    layout, positions: None for methods whose sequences see one paraphrase each, because the
        layout does not change their answers.
    dtype: as requested; each part records the dtype that its worker resolved "auto" to.
    prompt, thinking, date_string: the prompt format, see `common.prompts.PromptFormat`.
    stop: texts that end an answer, in addition to the model's own end of text.
    revision: of a hub model; None for the newest when the first worker loads it.
    sampling: None for greedy runs.
    exemplars: the examples that a run of `paraphrases` shows its model: questions, each followed
        by its paraphrases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    dataset_sha256: str
    num_samples: int = Field(ge=1)
    model: str
    model_source: str
    method: str
    num_paraphrases: int = Field(ge=1, le=64)
    layout: Layout | None
    positions: Positions | None
    template: Template
    few_shot: tuple[Example, ...]
    max_new_tokens: int = Field(ge=1, le=MAX_NEW_TOKENS)
    dtype: DTypeName
    prompt: PromptStyle = "plain"
    thinking: Thinking = "off"
    stop: StopStrings = ("\n",)
    date_string: str | None = None
    revision: str | None = None
    semantics: int = SEMANTICS_VERSION
    sampling: SamplingParams | None = None
    exemplars: tuple[tuple[str, ...], ...] | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 over the canonical JSON of every field: keys sorted, text as UTF-8."""
        fields = self.model_dump(mode="json")
        canonical = json.dumps(fields, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def model_name(self) -> str:
        """The model as it was asked for: `qwen3_4b`, or `qwen3_4b@REVISION`."""
        return with_revision(self.model, self.revision)

    @property
    def prompt_format(self) -> PromptFormat:
        """The format of the run's prompts."""
        return PromptFormat(
            self.template, self.few_shot, self.prompt, self.thinking != "off", self.date_string
        )

    @property
    def max_reasoning_tokens(self) -> int | None:
        """After how many tokens reasoning is ended; None for no limit of its own."""
        return self.thinking if isinstance(self.thinking, int) else None

    def differences(self, other: "RunSpec") -> dict[str, tuple[Any, Any]]:
        """Return the fields in which two specs differ: `{field: (value here, value there)}`."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return {k: (mine[k], theirs[k]) for k in mine if mine[k] != theirs[k]}

    def engine_options(self) -> tuple[Any, ...]:
        """Return the fields that must be equal for runs to share a prefill.

        `share_prefill` compares layout, positions and the number of paraphrases by itself.
        """
        return (
            self.model, self.model_source, self.revision, self.dtype, self.prompt_format,
            self.thinking, self.stop, self.max_new_tokens, self.num_samples, self.sampling,
            self.exemplars,
        )  # fmt: skip


def share_prefill(specs: Sequence[RunSpec]) -> bool:
    """Whether runs can be answered from one prefill.

    They need equal engine options, one layout among the methods that have one, and one number of
    paraphrases among the methods that read more than the question.
    """
    options = {spec.engine_options() for spec in specs}
    layouts = {(spec.layout, spec.positions) for spec in specs if spec.layout}
    widths = {s.num_paraphrases for s in specs if get_method(s.method).sequences != "first"}
    return len(options) <= 1 and len(layouts) <= 1 and len(widths) <= 1


def run_name(
    method: str,
    paraphrases: int | str,
    layout: Layout | None,
    positions: Positions | None,
    default_layout: Layout = "concat",
    prompt: str = "plain",
    thinking: Thinking = "off",
) -> str:
    """Return the last part of a run's key; it names an option unless that is at its default.

    paraphrases: how many, or the name of a selection (`m5a5s5`: 5 manual and 5 auto paraphrases,
    5 shots). prompt: "plain", "chat", or the name of a prompt file.

        >>> run_name("flex_attention", 5, "concat", "sequential")
        'flex_attention-5'
        >>> run_name("flex_attention", 5, "shared", "aligned")
        'flex_attention-5-shared'
        >>> run_name("avg", "m5a5s5", None, None)
        'avg-m5a5s5'
        >>> run_name("origin", 5, None, None, prompt="chat", thinking=512)
        'origin-chat-thinking512'
    """
    row = get_method(method)
    parts = [method]
    if not (row.name in METHODS and row.sequences == "first" and isinstance(paraphrases, int)):
        parts.append(str(paraphrases))
    if row.has_layout and layout and layout != default_layout:
        parts.append(layout)
    if row.has_layout and layout and positions and positions != DEFAULT_POSITIONS[layout]:
        parts.append(positions)
    if prompt != "plain":
        parts.append(prompt)
    if thinking != "off":
        parts.append("thinking" if thinking == "on" else f"thinking{thinking}")
    return "-".join(parts)
