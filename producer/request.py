"""The request of a command, and what its data set fills in."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.errors import UsageError
from common.limits import MAX_NEW_TOKENS
from common.methods import CONFIDENCE, PARAPHRASES, Method
from common.models import ModelSource
from common.planning.sharding import DEFAULT_SHARD_SIZE
from common.prompts import Example, PromptFormat, PromptStyle, Template
from common.run import (
    DATE_STRING,
    DEFAULT_POSITIONS,
    DTypeName,
    Layout,
    Positions,
    RunKey,
    SamplingParams,
    Thinking,
    run_name,
)
from producer import paraphrase_prompt
from producer.datasets import Dataset, Selection, known_datasets, open_dataset
from producer.datasets.dataset import file_dataset
from producer.prompt_file import PromptFile, read_prompt_file
from producer.stop_strings import check_stop

CHAT_TOKENS = 64
"""Default limit of an answer with --prompt chat: instruct models answer in sentences."""

THINKING_TOKENS = 4096
"""Default limit with --thinking on; how long a model reasons is not known before."""


@dataclass(frozen=True)
class RunRequest:
    """A data set, a model and methods, with their options; one run for each method.

    None means "not given"; the data set's default applies, and properties return it.
    paraphrases: key of the run that wrote the paraphrases. prompt: "plain", "chat" or the path of
    a prompt file. stop: literal texts. step: name of the one step to run
    alone; temperature and top_p are its sampling.

    Raises UsageError for options that contradict each other or do not apply to the data set.
    """

    dataset: str
    model: str
    methods: tuple[str, ...] = ()
    data: Path | None = None
    paraphrases: str | None = None
    few_shot: Path | None = None
    num_few_shot: int | None = None
    num_paraphrases: int | None = None
    num_manual: int | None = None
    num_auto: int | None = None
    layout: Layout | None = None
    positions: Positions | None = None
    max_new_tokens: int | None = None
    max_samples: int | None = None
    prompt: str = "plain"
    thinking: Thinking = "off"
    stop: tuple[str, ...] | None = None
    revision: str | None = None
    num_draws: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    shard_size: int = DEFAULT_SHARD_SIZE
    dtype: DTypeName = "auto"
    overwrite: bool = False
    step: str | None = None

    def __post_init__(self) -> None:
        self._check_prompt()
        if self.paraphrases is not None and self.data is not None:
            raise UsageError(
                f"--paraphrases {self.paraphrases} brings its questions with it; leave out "
                f"--data {self.data}"
            )
        if self.step == PARAPHRASES.name and self.num_paraphrases == 1:
            raise UsageError(
                "--num-paraphrases 1 is the question alone, so there is nothing to write; ask "
                "for 2 or more"
            )
        if self.step == PARAPHRASES.name and self.selection is not None:
            raise UsageError(
                f"--dataset {self.dataset} has manual and automatic paraphrases of its own; "
                "paraphrases are written for questions"
            )
        kinds = (self.num_manual, self.num_auto)
        if self.selection is None and kinds != (None, None):
            raise UsageError(
                f"--dataset {self.dataset} has no manual and automatic paraphrases to choose from "
                "by --num-manual and --num-auto; give --num-paraphrases"
            )
        if self.selection is not None and self.num_paraphrases is not None:
            raise UsageError(
                f"--num-paraphrases {self.num_paraphrases} does not say which paraphrases of "
                f"--dataset {self.dataset} to take; give --num-manual and --num-auto"
            )

    def _check_prompt(self) -> None:
        check_stop(self.chosen_stop, "--stop")
        if self.thinking != "off" and self.prompt != "chat":
            raise UsageError(
                f"--thinking {self.thinking} needs --prompt chat, as the model's chat template "
                f"switches its reasoning; with --prompt {self.prompt} leave it out"
            )
        if isinstance(self.thinking, str):
            return
        if self.max_new_tokens is not None and self.thinking >= self.max_new_tokens:
            raise UsageError(
                f"--thinking {self.thinking} leaves none of --max-new-tokens "
                f"{self.max_new_tokens} for the answer; reasoning counts as generated, so give "
                "more of them, or think less"
            )
        if self.token_limit > MAX_NEW_TOKENS:
            raise UsageError(
                f"--thinking {self.thinking} is too much: with {CHAT_TOKENS} tokens for the "
                f"answer it comes to more than {MAX_NEW_TOKENS}, the most that is generated"
            )

    @cached_property
    def prompt_file(self) -> PromptFile | None:
        """The prompt file, if one is given; raises UsageError if it cannot be used."""
        return None if self.prompt in ("plain", "chat") else read_prompt_file(self.prompt)

    @property
    def prompt_style(self) -> PromptStyle:
        """The style of the prompts; a prompt file is a plain one with a template of its own."""
        return "chat" if self.prompt == "chat" else "plain"

    @property
    def chosen_template(self) -> Template:
        """The prompt file's template, or the data set's; a chat's answer is a line, not a word."""
        if self.prompt_file:
            return self.prompt_file.template
        template = self.opened_dataset.template
        is_chat = self.prompt_style == "chat"
        return template.model_copy(update={"prediction": "line"}) if is_chat else template

    @property
    def date_string(self) -> str | None:
        """The date that a chat template may tell; None in plain prompts."""
        return DATE_STRING if self.prompt_style == "chat" else None

    def prompt_format_of(self, examples: tuple[Example, ...]) -> PromptFormat:
        """The format of the prompts, with these examples."""
        thinks = self.thinking != "off"
        return PromptFormat(
            self.chosen_template, examples, self.prompt_style, thinks, self.date_string
        )

    @property
    def chosen_stop(self) -> tuple[str, ...]:
        """The requested stop strings, or the prompt file's, or those of the style."""
        if self.stop is not None:
            return tuple(dict.fromkeys(self.stop))
        if self.prompt_file and self.prompt_file.stop is not None:
            return self.prompt_file.stop
        return () if self.prompt_style == "chat" else ("\n",)

    @cached_property
    def opened_dataset(self) -> Dataset:
        """The data set; raises UsageError for an unknown one.

        With --paraphrases, as with --data, --dataset may be any label: the run has the questions.
        """
        if self.paraphrases is not None and self.dataset not in known_datasets():
            return file_dataset(self.dataset, Path(self.paraphrases))
        return open_dataset(self.dataset, self.data)

    @cached_property
    def selection(self) -> Selection | None:
        """How many manual and automatic paraphrases; None if the data set has no such kinds."""
        default = self.opened_dataset.default_selection
        if default is None:
            return None
        manual = default.num_manual if self.num_manual is None else self.num_manual
        return Selection(manual, default.num_auto if self.num_auto is None else self.num_auto)

    @property
    def chosen_num_paraphrases(self) -> int:
        """Paraphrases per question, the question included; a selection may yield fewer."""
        if self.selection is not None:
            return self.selection.total
        return self.num_paraphrases or self.opened_dataset.default_num_paraphrases

    @property
    def chosen_layout(self) -> Layout:
        """The requested layout, or the data set's default."""
        return self.layout or self.opened_dataset.default_layout

    @property
    def chosen_positions(self) -> Positions:
        """The requested positions, or the layout's default."""
        return self.positions or DEFAULT_POSITIONS[self.chosen_layout]

    @property
    def token_limit(self) -> int:
        """Maximum number of tokens of an answer, reasoning included."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.prompt_style == "plain":
            return self.opened_dataset.default_max_new_tokens
        if self.thinking == "on":
            return THINKING_TOKENS
        return CHAT_TOKENS + (self.thinking if isinstance(self.thinking, int) else 0)

    @property
    def paraphrase_sampling(self) -> SamplingParams:
        """Sampling with which paraphrases are written."""
        return self._sampling(PARAPHRASES, paraphrase_prompt.SAMPLING)

    @property
    def confidence_sampling(self) -> SamplingParams:
        """Sampling of the answers from which a confidence is counted."""
        default = SamplingParams(temperature=1, top_p=1, num_draws=self.num_draws or 100)
        return self._sampling(CONFIDENCE, default)

    def _sampling(self, step: Method, default: SamplingParams) -> SamplingParams:
        if self.step != step.name:
            return default
        options = {"temperature": self.temperature, "top_p": self.top_p}
        return default.model_copy(update={k: v for k, v in options.items() if v is not None})

    def overrides_sampling(self, step: Method) -> bool:
        """Whether the request names the sampling of a step; an existing step must then match."""
        named = (self.temperature, self.top_p) != (None, None) and self.step == step.name
        return named or (step == CONFIDENCE and self.num_draws is not None)

    def key(
        self, model: ModelSource, method: Method, num_few_shot: int, written_by: str | None
    ) -> RunKey:
        """Key of the run that answers this request by one method.

        written_by: the model that wrote the paraphrases, if it is not the run's own model.
        """
        paraphrases: int | str = self.chosen_num_paraphrases
        if self.selection:
            paraphrases = self.selection.label(num_few_shot)
        if written_by and method.sequences != "first":
            paraphrases = f"{paraphrases}-by-{written_by}"
        prompt, thinking = self._named_prompt(method)
        name = run_name(
            method.name, paraphrases, self.chosen_layout, self.chosen_positions,
            self.opened_dataset.default_layout, prompt, thinking,
        )  # fmt: skip
        return RunKey(self.dataset, model.slug, name)

    def _named_prompt(self, method: Method) -> tuple[str, Thinking]:
        """Prompt and thinking in a run's name. Paraphrases are written by one prompt for all."""
        if method == PARAPHRASES:
            return "plain", "off"
        return self.prompt_file.name if self.prompt_file else self.prompt, self.thinking
