"""producer.local: the embedded server answers to its password, and leaves no process behind."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.errors import UsageError
from producer.local import _describe_signal, child, embedded_broker, logs_kept_on_failure, tail

OWNER = """
import sys
from producer.local import embedded_broker
with embedded_broker() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def listening(process):
    return [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]


def server_at(url):
    """The child of this process that listens on the port of the URL."""
    port = urlsplit(url).port
    (server,) = [
        child
        for child in psutil.Process().children()
        if port in {address.port for address in listening(child)}
    ]
    return server


def connected(url):
    """A connection to a server; when the server dies, reading from it ends."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def test_it_answers_with_the_password_only():
    with embedded_broker() as url:
        assert redis.Redis.from_url(url).ping()
        address = urlsplit(url)
        for password in (None, "", "guess"):
            stranger = redis.Redis(
                address.hostname, address.port, password=password, retry=Retry(NoBackoff(), 0)
            )
            with pytest.raises(redis.RedisError):
                stranger.ping()


def test_it_listens_on_this_machine_alone():
    with embedded_broker() as url:
        assert {address.ip for address in listening(server_at(url))} == {"127.0.0.1"}


def test_its_password_cannot_be_read_by_other_users_of_the_machine():
    with embedded_broker() as url:
        server = server_at(url)
        assert urlsplit(url).password not in " ".join(server.cmdline())
        (settings,) = Path(server.cwd()).glob("*.conf")
        assert urlsplit(url).password in settings.read_text()
        assert settings.stat().st_mode & 0o077 == 0


def test_two_servers_have_their_own_ports_and_passwords():
    with embedded_broker() as one, embedded_broker() as other:
        first, second = urlsplit(one), urlsplit(other)
        assert first.port != second.port
        assert first.password != second.password


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_no_process_and_no_file_is_left_after_the_block_however_it_ends(error):
    def work():
        with embedded_broker() as url:
            assert redis.Redis.from_url(url).set("a", "b")
            server = server_at(url)
            seen.append((server, Path(server.cwd()), connected(url)))
            if error:
                raise error("in the middle")

    seen = []
    if error:
        with pytest.raises(error, match="in the middle"):
            work()
    else:
        work()
    ((server, folder, connection),) = seen
    with connection:
        assert connection.recv(1) == b""
    assert not server.is_running()
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of such a death")
def test_it_dies_with_an_owner_that_is_killed():
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        with connected(owner.stdout.readline().strip()) as connection:
            owner.send_signal(signal.SIGKILL)
            assert connection.recv(1) == b""
        assert owner.wait() == -signal.SIGKILL


def test_a_child_that_ignores_being_asked_is_ended_with_its_own_children(tmp_path):
    """A shell that ignores SIGTERM, and a grandchild in its session."""
    script = "trap '' TERM; sleep 600 & echo $! >&2; wait"
    log = tmp_path / "log"
    with child(["sh", "-c", script], log) as process:
        reader = psutil.Process(process.pid)
        while not log.read_text():
            assert reader.is_running()
        grandchild = psutil.Process(int(log.read_text()))
    assert process.poll() is not None
    _, alive = psutil.wait_procs([grandchild], timeout=5)
    states = [left.status() for left in alive]
    for left in alive:
        left.kill()
    assert states in ([], [psutil.STATUS_ZOMBIE])


def test_a_machine_without_the_server_gets_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"self-ensemble\[local\]"), embedded_broker():
        pass


@pytest.mark.parametrize(("lines", "kept"), [(0, 0), (3, 3), (99, 15)])
def test_the_end_of_a_log_is_what_is_shown(tmp_path, lines, kept):
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_bytes(b"".join(b"\xff line %d\n" % i for i in range(lines)))
    shown = tail(log).splitlines()
    assert [row.split()[-1] for row in shown] == [str(i) for i in range(lines)][-kept or lines :]


@pytest.mark.parametrize("failure", [UsageError, SystemExit, OSError])
def test_logs_are_kept_where_the_block_fails_and_their_path_is_reported(failure):
    messages, folders = [], []

    def work():
        with logs_kept_on_failure(messages.append) as folder:
            (folder / "worker.log").write_text("why")
            folders.append(folder)
            raise failure("it failed")

    with pytest.raises(failure):
        work()
    (folder,) = folders
    assert messages == [f"the worker's log is kept: {folder / 'worker.log'}"]
    assert (folder / "worker.log").read_text() == "why"
    shutil.rmtree(folder)


def test_a_run_that_is_refused_before_there_is_a_worker_leaves_no_folder():
    messages, folders = [], []

    def work():
        with logs_kept_on_failure(messages.append) as folder:
            folders.append(folder)
            raise UsageError("no such data set")

    with pytest.raises(UsageError):
        work()
    assert messages == []
    assert not folders[0].exists()


@pytest.mark.parametrize("ending", [None, KeyboardInterrupt])
def test_logs_are_gone_after_a_run_that_did_not_fail(ending):
    messages = []
    try:
        with logs_kept_on_failure(messages.append) as folder:
            (folder / "worker.log").write_text("nothing to see")
            if ending:
                raise ending
    except KeyboardInterrupt:
        pass
    assert messages == []
    assert not folder.exists()


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ("exited with 'signal 9 (SIGKILL)'", r"SIGKILL\) ended .*, most often because .*memory"),
        (
            "exited with 'signal 11 (SIGSEGV)'",
            r"SIGSEGV\) ended the process that holds the model$",
        ),
        ("exited with 'exitcode 1'", "^$"),
    ],
)
def test_a_worker_whose_process_was_killed_is_reported_with_the_signal(tmp_path, line, pattern):
    log = tmp_path / "log"
    log.write_text(f"ERROR Process 'SpawnPoolWorker-1' pid:7 {line}\n" + "  File x\n" * 40)
    assert re.search(pattern, _describe_signal(log))
