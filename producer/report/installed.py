"""Check that the optional libraries of reports are installed, before any file is read."""

from importlib.util import find_spec

from common.errors import UsageError

_NEEDED = ("scipy", "statsmodels")


def check_installed() -> None:
    """Raise UsageError, with the command to install them, if libraries are missing."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"reports need {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed; pip install 'self-ensemble[report]'"
        )
