"""Plan the runs of a request, and which run waits for which.

If the data set has no paraphrases, methods that read paraphrases wait for a run that writes them.
Methods that read confidences wait for a run that measures the confidences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from common.methods import CONFIDENCE, PARAPHRASES, Method, get_method
from common.models import ModelSource
from common.planning.plan import RunPlan
from common.prompts import Example
from common.run import RunKey, RunSpec, SamplingParams
from common.store import RunFolder, StoreFilesystem
from producer import paraphrase_prompt
from producer.request import RunRequest

UNTIL_SNAPSHOT: dict[str, Any] = {"dataset_sha256": "", "num_samples": 1}
"""Placeholders for the fields of a spec that are known once the snapshot is written."""

_PLAIN: dict[str, Any] = {
    "prompt": "plain",
    "thinking": "off",
    "stop": ("\n",),
    "date_string": None,
}
"""How paraphrases are written, so that runs of all prompt styles share them."""


@dataclass(frozen=True)
class Planner:
    """Plans the runs of one request.

    write_paraphrases: whether a run must write the paraphrases first. written_by: name of the
    model that wrote the paraphrases, if it is not the request's own model.
    """

    request: RunRequest
    store: StoreFilesystem
    model: ModelSource
    examples: tuple[Example, ...]
    write_paraphrases: bool
    written_by: str | None = None

    def plan_runs(self) -> list[RunPlan]:
        """Return the runs that can start at once, with the others as their dependents."""
        if self.request.step == PARAPHRASES.name:
            return [self._paraphrases([])]
        plans = self._answers_and_confidence()
        if not self.write_paraphrases:
            return plans
        waiting = [plan for plan in plans if get_method(plan.spec.method).sequences != "first"]
        if not waiting:
            return plans
        return [*(p for p in plans if p not in waiting), self._paraphrases(waiting)]

    def _answers_and_confidence(self) -> list[RunPlan]:
        """Plan the methods; those that read confidences depend on the run that measures them."""
        methods = [get_method(name) for name in dict.fromkeys(self.request.methods)]
        weighted = [self._answers(method) for method in methods if method.reads_confidences]
        plans = [self._answers(method) for method in methods if not method.reads_confidences]
        if weighted or self.request.step == CONFIDENCE.name:
            plans.append(self._confidence(weighted))
        return plans

    def _answers(self, method: Method) -> RunPlan:
        return self._plan(method, {})

    def _confidence(self, dependents: Sequence[RunPlan]) -> RunPlan:
        sampling = self._sampling(CONFIDENCE, self.request.confidence_sampling)
        return self._plan(CONFIDENCE, {"sampling": sampling}, dependents)

    def _paraphrases(self, dependents: Sequence[RunPlan]) -> RunPlan:
        changes = {
            "num_paraphrases": self.request.chosen_num_paraphrases,
            "template": paraphrase_prompt.TEMPLATE,
            "few_shot": (),
            **_PLAIN,
            "max_new_tokens": paraphrase_prompt.MAX_NEW_TOKENS,
            "sampling": self._sampling(PARAPHRASES, self.request.paraphrase_sampling),
            "exemplars": paraphrase_prompt.exemplars(),
        }
        return self._plan(PARAPHRASES, changes, dependents)

    def _sampling(self, step: Method, requested: SamplingParams) -> SamplingParams:
        """The sampling of a step.

        A step that exists keeps its sampling unless the request names another or overwrites it.
        """
        run = RunFolder(self.store, self._key(step))
        overwritten = self.request.overwrite and self.request.step == step.name
        if self.request.overrides_sampling(step) or overwritten or not run.exists():
            return requested
        return run.spec.sampling or requested

    def _key(self, method: Method) -> RunKey:
        return self.request.key(self.model, method, len(self.examples), self.written_by)

    def _plan(
        self, method: Method, changes: dict[str, Any], dependents: Sequence[RunPlan] = ()
    ) -> RunPlan:
        request = self.request
        spec = self._common.model_copy(
            update={
                "method": method.name,
                "num_paraphrases": method.num_read(request.chosen_num_paraphrases),
                "layout": request.chosen_layout if method.has_layout else None,
                "positions": request.chosen_positions if method.has_layout else None,
                **changes,
            }
        )
        key = str(self._key(method))
        selects = request.selection is not None
        return RunPlan(key=key, spec=spec, from_selection=selects, dependents=tuple(dependents))

    @cached_property
    def _common(self) -> RunSpec:
        """The fields that all specs of the request share, as the spec of `origin`."""
        is_folder = self.model.kind == "directory"
        return RunSpec(
            **UNTIL_SNAPSHOT,
            dataset=self.request.dataset,
            model=self.model.location if is_folder else self.request.model,
            model_source=self.model.location,
            revision=self.model.revision,
            method="origin",
            num_paraphrases=1,
            layout=None,
            positions=None,
            template=self.request.chosen_template,
            prompt=self.request.prompt_style,
            thinking=self.request.thinking,
            stop=self.request.chosen_stop,
            date_string=self.request.date_string,
            few_shot=self.examples,
            max_new_tokens=self.request.token_limit,
            dtype=self.request.dtype,
        )
