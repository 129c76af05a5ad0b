"""Feather V1, the format of 2016: rewritten as an Arrow file before it is read.

Another process rewrites it, because pyarrow trusts the offsets in a V1 file, and a damaged file
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
    """A temporary Arrow file with the same table; raises OSError for a damaged V1 file."""
    with TemporaryDirectory(prefix="self-ensemble-") as folder:
        rewritten = Path(folder) / "table.arrow"
        # -P: Python imports nothing from the current folder.
        command = [sys.executable, "-P", "-W", "ignore", "-c", _REWRITE, str(path), str(rewritten)]
        process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if process.returncode:
            raise OSError(_reason(process) or "pyarrow does not survive reading it")
        yield rewritten


def _reason(process: subprocess.CompletedProcess[bytes]) -> str:
    """The last line of a Python error; empty if a signal ended the process."""
    lines = process.stderr.decode(errors="replace").split("\n")
    return "".join([line for line in lines if line.strip()][-1:]) if process.returncode > 0 else ""
