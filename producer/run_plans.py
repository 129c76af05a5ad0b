"""Planning: what was asked for -> planned runs, and which of them wait for which.

Methods that read paraphrases wait for a run that writes them, where the data set has none;
methods that read confidences wait for the run that finds those.
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

NOT_FROZEN: dict[str, Any] = {"dataset_sha256": "", "num_samples": 1}
"""Fields of a spec that freezing fills in."""


@dataclass(frozen=True)
class Planner:
    """Plans the runs of one request.

    writes: whether paraphrases must be written first. written_by: name of the model that wrote
    them, where it is another.
    """

    request: RunRequest
    store: StoreFilesystem
    model: ModelSource
    examples: tuple[Example, ...]
    writes: bool
    written_by: str | None = None

    def roots(self) -> list[RunPlan]:
        """The runs that can begin at once; the others follow them."""
        if self.request.step == PARAPHRASES.name:
            return [self._paraphrases([])]
        plans = self._answering()
        if not self.writes:
            return plans
        waiting = [plan for plan in plans if get_method(plan.spec.method).sequences != "first"]
        if not waiting:
            return plans
        return [*(p for p in plans if p not in waiting), self._paraphrases(waiting)]

    def _answering(self) -> list[RunPlan]:
        methods = [get_method(name) for name in dict.fromkeys(self.request.methods)]
        weighted = [self._answers(method) for method in methods if method.reads_confidences]
        plans = [self._answers(method) for method in methods if not method.reads_confidences]
        if weighted or self.request.step == CONFIDENCE.name:
            plans.append(self._confidence(weighted))
        return plans

    def _answers(self, method: Method) -> RunPlan:
        return self._planned(method, {})

    def _confidence(self, dependents: Sequence[RunPlan]) -> RunPlan:
        sampling = self._sampling(CONFIDENCE, self.request.confidence_sampling)
        return self._planned(CONFIDENCE, {"sampling": sampling}, dependents)

    def _paraphrases(self, dependents: Sequence[RunPlan]) -> RunPlan:
        changes = {
            "num_paraphrases": self.request.chosen_num_paraphrases,
            "template": paraphrase_prompt.TEMPLATE,
            "few_shot": (),
            "max_new_tokens": paraphrase_prompt.MAX_NEW_TOKENS,
            "sampling": self._sampling(PARAPHRASES, self.request.paraphrase_sampling),
            "exemplars": paraphrase_prompt.exemplars(),
        }
        return self._planned(PARAPHRASES, changes, dependents)

    def _sampling(self, step: Method, asked: SamplingParams) -> SamplingParams:
        """As asked; a step that was done before is taken as it was done, if nothing was said."""
        run = RunFolder(self.store, self._key(step))
        anew = self.request.overwrite and self.request.step == step.name
        if self.request.overrides_sampling(step) or anew or not run.exists():
            return asked
        return run.spec.sampling or asked

    def _key(self, method: Method) -> RunKey:
        return self.request.key(self.model, method, len(self.examples), self.written_by)

    def _planned(
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
        """What the specs of a request have in common."""
        is_folder = self.model.kind == "directory"
        return RunSpec(
            **NOT_FROZEN,
            dataset=self.request.dataset,
            model=self.model.location if is_folder else self.request.model,
            model_source=self.model.location,
            method="origin",
            num_paraphrases=1,
            layout=None,
            positions=None,
            template=self.request.source.template,
            few_shot=self.examples,
            max_new_tokens=self.request.token_limit,
            dtype=self.request.dtype,
        )
