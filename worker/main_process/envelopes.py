"""Envelopes: what a message of the queue must be, and what of it may reach Celery.

Whoever can write to the queue can write anything into an envelope: Celery's own time limits, the
time to wait, tasks to start afterwards. So an envelope is read once, strictly, and written anew
with what this project sends and nothing else. Imports no celery.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel, ValidationError

from common.errors import RejectShard
from common.messages import ShardMessage

LONGEST_WAIT_SECONDS = 10
"""How long a message may ask to wait; as long as a shard that is tried again does."""

_NOTHING_AFTERWARDS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class _PartOfEnvelope(BaseModel):
    """Fields of the wrong type are refused, fields that are not named are left out."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class TaskHeaders(_PartOfEnvelope):
    """The headers that are read; all others, such as `timelimit` and `expires`, are not."""

    task: Literal["self_ensemble.answer_shard"]
    id: str = Field(min_length=1)
    root_id: str | None = None
    parent_id: str | None = None
    retries: int = Field(0, ge=0, le=1_000_000)
    eta: AwareDatetime | None = None
    argsrepr: str = ""
    kwargsrepr: str = ""
    origin: str = ""

    def for_celery(self) -> dict[str, Any]:
        """Return headers of Celery's protocol 2, with a wait of LONGEST_WAIT_SECONDS at most."""
        now = datetime.now(UTC)
        waits = self.eta is not None and self.eta > now
        latest = now + timedelta(seconds=LONGEST_WAIT_SECONDS)
        eta = min(self.eta, latest).isoformat() if self.eta and waits else None
        fixed = {"lang": "py", "timelimit": [None, None], "expires": None, "ignore_result": True}
        return {**self.model_dump(), **fixed, "eta": eta}


class TaskProperties(_PartOfEnvelope):
    """The properties that are read."""

    delivery_tag: str = Field(min_length=1)
    body_encoding: Literal["base64"]


class TaskBody(RootModel[tuple[list[Any], ShardMessage, dict[str, None]]]):
    """Arguments by position, of which there are none; those by name; what to start afterwards."""

    model_config = ConfigDict(frozen=True, strict=True)


class TaskEnvelope(_PartOfEnvelope):
    """A message as kombu writes it to a list of Redis."""

    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: TaskHeaders
    properties: TaskProperties


def read_envelope(raw: bytes, queue: str) -> str:
    """Return the message that Celery may get in place of `raw`, taken from `queue`.

    Raises RejectShard, with one line, for anything that no producer or worker of ours sends.
    """
    try:
        envelope = TaskEnvelope.model_validate_json(raw)
        body = TaskBody.model_validate_json(base64.b64decode(envelope.body, validate=True))
    except ValidationError as error:
        raise RejectShard(_first_fault(error)) from None
    except ValueError as error:
        raise RejectShard(f"the body is not base64: {error}") from None
    arguments, shard, _ = body.root
    if arguments:
        raise RejectShard(f"{len(arguments)} arguments without names, expected none")
    return json.dumps(_for_kombu(envelope, shard, queue))


def _for_kombu(envelope: TaskEnvelope, shard: ShardMessage, queue: str) -> dict[str, Any]:
    body = json.dumps([[], shard.model_dump(), _NOTHING_AFTERWARDS])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-type": envelope.content_type,
        "content-encoding": envelope.content_encoding,
        "headers": envelope.headers.for_celery(),
        "properties": {
            **envelope.properties.model_dump(),
            "correlation_id": envelope.headers.id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
        },
    }


def _first_fault(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(map(str, faults[0]["loc"]))
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{place or 'the message'}: {faults[0]['msg']}{more}"
