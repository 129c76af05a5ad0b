"""Settings of a process, from `SELF_ENSEMBLE_*` variables.

They say where and how fast a run is executed, never what its output is: `common.run.RunSpec` does.

    >>> Settings.from_environment({"SELF_ENSEMBLE_STORE": "/data"}).store
    '/data'
"""

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from common.errors import UsageError
from common.run import DTypeName

PREFIX = "SELF_ENSEMBLE_"


class Settings(BaseModel):
    """The settings of a process; each field is the variable `SELF_ENSEMBLE_<FIELD>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field("./datasets", description="directory or pyarrow.fs URI of the store")
    broker: str = Field("redis://localhost:6379/0", description="Redis-compatible server")
    namespace: str = Field(
        "se",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$",
        description="first part of every key, queue and channel, for teams that share a broker",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="compute device")
    attention: str = Field(
        "auto",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="prefill attention: auto, or the name of a backend (cascade, flex, sdpa)",
    )
    compile: Literal["auto", "always", "never"] = Field(
        "auto", description="compile the model's layers (auto: for runs of 2000 samples or more)"
    )
    processes: int | None = Field(
        None, ge=1, le=64, description="model-holding processes (unset: one per GPU, else 1)"
    )
    pack_tokens: int | None = Field(
        None, ge=64, description="tokens in one packed prefill row (unset: by free memory)"
    )
    kv_cache_gib: float | None = Field(
        None, gt=0, description="GiB that decoding takes (unset: by free memory)"
    )
    warm_model: str | None = Field(
        None, description="model that is loaded and compiled before the first task is taken"
    )
    warm_revision: str | None = Field(None, description="its revision, as --revision gives it")
    warm_dtype: DTypeName = Field("auto", description="its dtype, as --dtype gives it")
    warm_samples: int | None = Field(
        None, ge=1, description="samples of the run it is warmed for (unset: many)"
    )
    time_limit: int = Field(1800, ge=10, description="seconds after which a shard is killed")
    visibility_timeout: int = Field(
        20, ge=3, description="seconds until a silent worker's shard is given to another"
    )
    reconcile: bool = Field(
        True, description="idle workers send what was lost again, and merge what is complete"
    )
    max_attempts: int = Field(
        3, ge=1, description="starts of a shard that kills its worker before it is cut in two"
    )
    health_dir: str | None = Field(
        None, description="folder of one worker's files `alive` and `ready` (unset: none)"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. Raises UsageError that names each invalid variable."""
        values = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX) and value != ""
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError("; ".join(_sentence(e, values) for e in error.errors())) from None

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which another process reads equal settings."""
        return {
            PREFIX + name.upper(): str(value)
            for name, value in self.model_dump().items()
            if value is not None
        }


def _sentence(details: ErrorDetails, values: Mapping[str, str]) -> str:
    field = str(details["loc"][0])
    variable = PREFIX + field.upper()
    if details["type"] == "extra_forbidden":
        known = ", ".join(PREFIX + name.upper() for name in Settings.model_fields)
        return f"{variable} is not a setting; known are {known}"
    return f"{variable}={values.get(field, '')!r}: {details['msg']}"
