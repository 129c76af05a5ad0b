"""Writing a file beside other files of a person: whole or not at all."""

import os
import uuid
from pathlib import Path


def save(path: Path, content: bytes) -> None:
    """Write `path`, replacing what is there only when all of it is written."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
