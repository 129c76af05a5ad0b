"""Write a file of the user atomically: whole or not at all."""

import os
import uuid
from pathlib import Path


def save(path: Path, content: bytes) -> None:
    """Write `path`; an existing file is replaced only once all content is written."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
