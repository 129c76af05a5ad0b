"""The tree of exceptions: one class for each decision a caller can make.

    SelfEnsembleError
      UsageError      the person at the terminal must change something    -> exit 2
      RetryShard      nothing is wrong with the shard; try it again later
      RejectShard     this message can never succeed; drop it, keep the run
      StopRun         no shard of this run can succeed until a person acts
      SampleError     this one sample cannot be answered; it becomes a row with `error`

Every message names the argument or file, the rule, the value got, and what to do.
"""


class SelfEnsembleError(Exception):
    """Root of every error this project raises on purpose."""


class UsageError(SelfEnsembleError):
    """What the person gave cannot be used as it is."""


class RetryShard(SelfEnsembleError):
    """A passing fault outside the shard, such as a store that does not answer."""


class RejectShard(SelfEnsembleError):
    """The message itself is wrong: a name outside the store, rows that do not exist."""


class StopRun(SelfEnsembleError):
    """The run cannot go on: its model cannot be had, or this worker holds other weights."""


class SampleError(SelfEnsembleError):
    """One sample cannot be answered: it is empty, or longer than the model reads."""


def first_line(error: Exception) -> str:
    """What any error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
