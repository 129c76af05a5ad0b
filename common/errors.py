"""The tree of exceptions: one class for each decision a caller can make.

    SelfEnsembleError
      UsageError      an argument, file or setting is invalid             -> exit 2
        OverwrittenRun  another run has taken this one's place; drop what was computed for it
      RetryShard      nothing is wrong with the shard; try it again later
      ReturnShard     this worker is at fault; give the shard back for other workers
      RejectShard     this message can never succeed; drop it, keep the run
      StopRun         no shard of this run can succeed until a person acts
        AlreadyStopped  another shard has stopped the run; drop this one, its reason is known
        CancelledRun    a person has cancelled the run; drop its shards, it is no fault
        UnusableModel   so it is on this worker; others may be able to use the model
      SampleError     this one sample cannot be answered; it becomes a row with `error`

Every message names the argument or file, the rule, the value got, and what to do.
"""


class SelfEnsembleError(Exception):
    """Root of every error that this project raises on purpose."""


class UsageError(SelfEnsembleError):
    """An argument, file or setting is invalid; the message says which and how to fix it."""


class OverwrittenRun(UsageError):
    """Another run took the place of the one that this process works on: no fault of either."""


class RetryShard(SelfEnsembleError):
    """A passing fault outside the shard, such as a store that does not answer."""


class ReturnShard(SelfEnsembleError):
    """This worker is at fault: it has another store, may not write to it, or cannot begin."""


class RejectShard(SelfEnsembleError):
    """The message itself is wrong: a name outside the store, rows that do not exist."""


class StopRun(SelfEnsembleError):
    """The run cannot continue: its model cannot be loaded, or this worker holds other weights."""


class AlreadyStopped(StopRun):
    """The run was stopped before this shard was taken: who stopped it, and why, is noted."""


class CancelledRun(StopRun):
    """A person has cancelled the run, and nothing is wrong with it: enqueueing it goes on."""


class UnusableModel(StopRun):
    """This worker cannot use the run's model: no memory for it, not downloaded, no access."""


class SampleError(SelfEnsembleError):
    """One sample cannot be answered: it is empty, or longer than the model reads."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class name if there is none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def described(error: BaseException) -> str:
    """Return an error's class and the first line of its message.

    >>> described(KeyError("model"))
    "KeyError: 'model'"
    """
    return f"{type(error).__name__}: {first_line(error)}"


def is_of_the_system(error: BaseException) -> bool:
    """Whether the system could not read a file just now; the file may well be whole.

    pyarrow raises an OSError for damaged content, too, but one without an errno.
    """
    return isinstance(error, OSError) and error.errno is not None
