"""Links in a local store: the root may be one, and below it none may lead outside.

A part behind such a link would be written, or deleted, where no other host looks for it.
"""

import os

from common.errors import UsageError


def refuse_way_out(root: str, relative: str) -> None:
    """Raise UsageError if a link below the root leads a path outside it.

    Looks at the names below the root only, and resolves nothing unless one of them is a link.

    root: absolute. relative: path below it, with `/`; need not exist.
    """
    path = root
    for name in filter(None, relative.split("/")):
        path = f"{path}/{name}"
        if os.path.islink(path):
            _check(root, path)


def _check(root: str, link: str) -> None:
    inside, target = os.path.realpath(root), os.path.realpath(link)
    if os.path.commonpath([inside, target]) != inside:
        raise UsageError(
            f"{link} is a link that leads to {target}, outside the store {root}; put what it "
            "leads to in its place, or have the store's root be the link"
        )
