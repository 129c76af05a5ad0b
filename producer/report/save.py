"""Writing a page beside other files of a person: whole or not at all."""

import os
import tempfile
from pathlib import Path

from common.errors import UsageError


def check_folder(path: Path) -> None:
    """Raise UsageError where a file cannot be written for want of its folder."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}; make it first")


def save_text(path: Path, text: str) -> None:
    """Write UTF-8 text under `path`, replacing what is there only when all of it is written."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.absolute().parent, prefix=".page-", delete=False
    ) as file:
        try:
            file.write(text)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
