"""Planned runs: what is to be done, and what is to be made of it when it is done.

A run that writes paraphrases or finds confidences has followers: runs whose samples are its
result. Data only; the store makes runs of it.
"""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from common.run import RunSpec


class RunPlan(BaseModel):
    """A run before its samples are known.

    spec: `dataset_sha256` and `num_samples` mean nothing until the samples are frozen.
    from_selection: questions may have fewer paraphrases than `spec.num_paraphrases`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    spec: RunSpec
    from_selection: bool = False
    followers: tuple["RunPlan", ...] = ()

    def all(self) -> Iterator["RunPlan"]:
        """This one, and what follows it, in order."""
        yield self
        for follower in self.followers:
            yield from follower.all()
