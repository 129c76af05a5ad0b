"""`producer mask`: draw one picture, to a file or to the terminal."""

import json
from pathlib import Path

from rich.console import Console

from producer.mask.compose import compose
from producer.mask.console import print_mask
from producer.mask.figure import check_png, write_png
from producer.mask.picture import mask_document
from producer.request import RunRequest


def draw_mask(
    request: RunRequest, uuid: str | None, png: Path | None, as_json: bool, console: Console
) -> None:
    """Draw the mask of the sample `uuid`, or of the first.

    Raises UsageError for a request or a file that cannot be used, StopRun for a tokenizer that
    cannot be loaded. Checks everything it can before it loads a tokenizer.
    """
    if png is not None:
        check_png(png)
    picture = compose(request, uuid)
    if png is not None:
        write_png(picture, png)
    if as_json:
        console.file.write(json.dumps(mask_document(picture)) + "\n")
    elif png is not None:
        for line in (f"{png}:", *picture.headings(), *(f"note: {n}" for n in picture.notes)):
            console.file.write(line + "\n")
    else:
        print_mask(picture, console)
