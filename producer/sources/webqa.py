"""WebQuestions (Berant et al. 2013), from the hub through the `datasets` library.

Few-shot examples are the first of the train split shuffled with seed 42.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from common.errors import first_line
from common.prompts import QUESTION_ANSWERING, Example
from producer.sources.files import Question
from producer.sources.source import DEFAULT_FEW_SHOT, HubError, Source

HUB_ID = "stanfordnlp/web_questions"
FEW_SHOT_SEED = 42


def open_source() -> Source:
    """The test split; nothing is fetched before it is read."""
    return Source(
        name="webqa",
        template=QUESTION_ANSWERING,
        questions=_questions,
        few_shot=_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin=f"the train split of {HUB_ID}, seed {FEW_SHOT_SEED}",
    )


def _questions() -> Iterator[Question]:
    with _hub_errors("test"):
        for row in _load("test", streaming=True):
            yield Question(row["question"], tuple(row["answers"]), None, ())


def _few_shot(count: int) -> list[Example]:
    with _hub_errors("train"):
        rows = _load("train", streaming=False).shuffle(seed=FEW_SHOT_SEED).select(range(count))
        return [(row["question"], row["answers"][0]) for row in rows]


def _load(split: str, streaming: bool) -> Any:
    if not _hub_is_known():
        # Before the hub's client is imported: it then looks into its cache, and does not wait.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    return datasets.load_dataset(HUB_ID, split=split, streaming=streaming)


@contextmanager
def _hub_errors(split: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The hub's client raises a dozen classes, and which one depends on its version.
        raise HubError(
            f"{HUB_ID} ({split}) cannot be had from the hub: {first_line(error)}; "
            "give a file with --data, and few-shot examples with --few-shot"
        ) from error


def _hub_is_known() -> bool:
    url = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        return bool(socket.getaddrinfo(url.hostname, url.port or 443))
    except OSError:
        return False
