"""The hub: splits of its data sets through the `datasets` library, and its errors as one."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from common.errors import UsageError, first_line


class HubError(UsageError):
    """A hub cannot be reached; who has something else to take may go on with it."""


def load_split(hub_id: str, split: str, streaming: bool) -> Any:
    """A split as the library gives it; use it inside `hub_errors`."""
    if not _hub_is_known():
        # Before the hub's client is imported: it then looks into its cache, and does not wait.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    return datasets.load_dataset(hub_id, split=split, streaming=streaming)


@contextmanager
def hub_errors(hub_id: str, split: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes a HubError that names the ways out."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        # The hub's client raises a dozen classes, and which one depends on its version.
        raise HubError(
            f"{hub_id} ({split}) cannot be had from the hub: {first_line(error)}; "
            "give a file with --data, and few-shot examples with --few-shot"
        ) from error


def _hub_is_known() -> bool:
    url = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        return bool(socket.getaddrinfo(url.hostname, url.port or 443))
    except OSError:
        return False
