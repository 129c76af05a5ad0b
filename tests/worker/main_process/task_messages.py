"""Messages as Celery writes them to a list of Redis, changed in one place."""

import base64
import json
from typing import Any

SHARD = {"runs": ["numbers/tiny-llama/nothing-3"], "rows": [[0, 1]]}
NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {
    "lang": "py", "task": "self_ensemble.answer_shard", "id": "0b5e", "shadow": None,
    "eta": None, "expires": None, "group": None, "group_index": None, "retries": 0,
    "timelimit": [None, None], "root_id": "0b5e", "parent_id": None, "argsrepr": "()",
    "kwargsrepr": "{}", "origin": "gen1@host", "ignore_result": True,
    "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
}  # fmt: skip
PROPERTIES = {
    "correlation_id": "0b5e", "reply_to": "7f1c", "delivery_mode": 2, "priority": 0,
    "delivery_info": {"exchange": "", "routing_key": "model.other"},
    "body_encoding": "base64", "delivery_tag": "d41d",
}  # fmt: skip


def written(
    *,
    headers: dict[str, Any] | None = HEADERS,
    properties: dict[str, Any] = PROPERTIES,
    arguments: dict[str, Any] = SHARD,
    by_position: list[Any] | None = None,
    afterwards: dict[str, Any] = NOTHING,
    **envelope: Any,
) -> str:
    """Return the text of a message; given headers and properties are added to the usual ones."""
    body = json.dumps([by_position or [], arguments, afterwards])
    message = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": None if headers is None else {**HEADERS, **headers},
        "properties": {**PROPERTIES, **properties},
    }
    return json.dumps({**message, **envelope})
