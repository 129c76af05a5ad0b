"""The hub: splits of its data sets through the `datasets` library, and one class of errors."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from common.errors import UsageError, first_line


class HubError(UsageError):
    """The hub cannot be reached; a caller with bundled examples may go on with them."""


def load_split(hub_id: str, split: str, streaming: bool) -> Any:
    """A split as the `datasets` library returns it; call this inside `hub_errors`."""
    if not _hub_is_known():
        # Set before the hub's client is imported, which then reads its cache without waiting.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    return datasets.load_dataset(hub_id, split=split, streaming=streaming)


@contextmanager
def hub_errors(hub_id: str, split: str) -> Iterator[None]:
    """Turn any error inside the block into a HubError that names the ways out."""
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
