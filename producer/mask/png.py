"""The picture as a PNG: no display, and the same bytes for the same picture."""

import importlib.util
import io
from pathlib import Path

from common.errors import UsageError
from producer.mask.figure import DPI, mask_figure
from producer.mask.picture import MaskPicture
from producer.saving import save

MAX_TOKENS = 4096


def check_png(path: Path) -> None:
    """Raise UsageError where no image can be written to `path`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--png needs matplotlib; pip install 'self-ensemble[report]'")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--png {path}: the name must end in .png")
    if not path.parent.is_dir():
        raise UsageError(f"--png {path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise UsageError(f"--png {path} is a folder; name a file")


def write_png(picture: MaskPicture, path: Path) -> None:
    """Write the image whole or not at all."""
    save(path, render_png(picture))


def render_png(picture: MaskPicture) -> bytes:
    """The bytes of the image; raises UsageError for a prompt of more than MAX_TOKENS."""
    import matplotlib

    if len(picture.labels) > MAX_TOKENS:
        raise UsageError(
            f"--png: the prompt has {len(picture.labels)} tokens, an image holds at most "
            f"{MAX_TOKENS}; ask for less with --num-paraphrases or --num-few-shot"
        )
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Without the writer's name and version, which would change the bytes.
        mask_figure(picture).savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
