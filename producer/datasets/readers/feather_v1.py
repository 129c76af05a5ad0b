"""Feather V1, the format of 2016: rewritten as an Arrow file before it is read.

In a process of its own: pyarrow follows whatever a V1 file says of itself, and a damaged one
ends the process that reads it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SIGN = b"FEA1"

_REWRITE = """
import sys
from pyarrow import feather
with open(sys.argv[1], "rb") as file:
    table = feather.read_table(file)
feather.write_feather(table, sys.argv[2], compression="uncompressed")
"""


@contextmanager
def as_arrow_file(path: Path) -> Iterator[Path]:
    """A temporary Arrow file with the same table; raises OSError for a damaged one."""
    with TemporaryDirectory(prefix="self-ensemble-") as folder:
        rewritten = Path(folder) / "table.arrow"
        # -P: nothing is imported from the folder that the command runs in.
        command = [sys.executable, "-P", "-W", "ignore", "-c", _REWRITE, str(path), str(rewritten)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").split("\n")
            said = [line for line in lines if line.strip()][-1:] if done.returncode > 0 else []
            raise OSError("".join(said) or "pyarrow does not survive reading it")
        yield rewritten
