"""The loaded engine: what a worker process holds of a model, for its shards and their parts."""

from dataclasses import dataclass, replace

from common.prompts import PromptFormat
from worker.engine.budget import Budget
from worker.engine.compilation import TOO_FEW
from worker.engine.engine import Engine
from worker.model.model_place import NO_FOLDER, Files
from worker.model.resolved_setting import ResolvedSetting


@dataclass(frozen=True)
class LoadedEngine:
    """An engine, the identity of its weights, and the worker's choices with their reasons.

    budget: the one that the engine began with. It is among the reasons and not among the
    choices, which mark a file as mixed where they differ: a budget changes no answer.
    files: the files that the model was read from.
    """

    engine: Engine
    identity: str
    choices: dict[str, str]
    reasons: dict[str, str]
    budget: Budget
    files: Files = NO_FOLDER

    def compiles(self, wanted: ResolvedSetting) -> bool:
        """Whether to decide about compiling: for the first time, or again for a larger run."""
        return "layers" not in self.choices or (
            wanted.value == "compiled" and self.reasons["layers"] == TOO_FEW
        )

    def with_layers(self, layers: ResolvedSetting) -> "LoadedEngine":
        """A copy that records whether the layers are compiled."""
        return replace(
            self,
            choices=self.choices | {"layers": layers.value},
            reasons=self.reasons | {"layers": layers.reason},
        )

    def with_prompt_notes(self, prompt_format: PromptFormat) -> "LoadedEngine":
        """A copy that records what the model's chat template makes of a format."""
        notes = self.engine.tokenizer.chat.notes(prompt_format)
        return replace(
            self,
            choices=self.choices | {name: note.value for name, note in notes.items()},
            reasons=self.reasons | {name: note.reason for name, note in notes.items()},
        )

    def reasons_now(self) -> dict[str, str]:
        """The reasons of all choices, with the present budget if memory has run out since."""
        budget = self.engine.budget
        return self.reasons | ({} if budget == self.budget else {"halved": f"to {budget}"})
