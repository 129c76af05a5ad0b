"""common.broker_url: URLs that Celery and the counters both take; a sentence for all others."""

import pytest
from kombu import Connection
from redis.connection import parse_url

from common.broker_url import BrokerUrl, parse_broker_url
from common.errors import UsageError

TCP = [
    ("redis://h", ("h", 6379, None, None, 0)),
    ("redis://h:7/3", ("h", 7, None, None, 3)),
    ("redis://h:7/", ("h", 7, None, None, 0)),
    ("redis://h?db=3", ("h", 6379, None, None, 3)),
    ("redis://h?virtual_host=3", ("h", 6379, None, None, 3)),
    ("redis://h/3?db=3", ("h", 6379, None, None, 3)),
    ("REDIS://H:7/3", ("h", 7, None, None, 3)),
    (" redis://h:7/3\n", ("h", 7, None, None, 3)),
    ("redis://:pw@h:7/3", ("h", 7, None, "pw", 3)),
    ("redis://me:pw@h:7/3", ("h", 7, "me", "pw", 3)),
    ("redis://:p%23s%2Fs%20@h:7/3", ("h", 7, None, "p#s/s ", 3)),
    ("redis://:p@s:s;+$&=~é@h:7/3", ("h", 7, None, "p@s:s;+$&=~é", 3)),
    ("redis://[::1]:7/3", ("::1", 7, None, None, 3)),
]


def as_celery_reads(url):
    with Connection(url.for_celery, ssl=url.celery_tls) as read:
        database = int(read.virtual_host) if read.virtual_host != "/" else 0
        return read.hostname, read.port or 6379, read.userid, read.password, database


def as_redis_reads(url):
    read = parse_url(url.for_redis)
    names = ("username", "password", "db")
    return read["host"], read["port"], *map(read.get, names)


@pytest.mark.parametrize(("text", "read"), TCP)
def test_celery_and_the_counters_read_the_same_of_a_url(text, read):
    url = parse_broker_url(text)
    assert as_celery_reads(url) == as_redis_reads(url) == read


@pytest.mark.parametrize(
    "text",
    [
        "unix://:p%23s@/run/a%20b.sock?db=3",
        "unix://:p%23s@/run/a%20b.sock?virtual_host=3",
        "redis+socket://:p%23s@/run/a%20b.sock?virtual_host=3",
        "redis+socket://:p%23s@/run/a%20b.sock?db=3",
    ],
)
def test_a_socket_is_written_as_each_of_them_spells_it(text):
    url = parse_broker_url(text)
    assert url == BrokerUrl("", 6379, "/run/a b.sock", "", "p#s", 3)
    assert url.for_celery == "redis+socket://:p%23s@/run/a%20b.sock?virtual_host=3"
    assert url.for_redis == "unix://:p%23s@/run/a%20b.sock?db=3"
    assert parse_url(url.for_redis)["path"] == "/run/a b.sock"


def test_the_path_of_a_socket_may_hold_an_at_sign():
    assert parse_broker_url("unix:///run/me@home/r.sock").socket == "/run/me@home/r.sock"
    assert parse_broker_url("unix://:p@/run/me@home/r.sock").password == "p"


def test_celery_masks_the_password_of_a_socket():
    url = parse_broker_url("unix://:s3cret@/run/r.sock")
    assert "s3cret" not in Connection(url.for_celery).as_uri()
    assert "s3cret" not in url.shown + repr(url)


@pytest.mark.parametrize(
    ("options", "tls"),
    [
        ("", {"ssl_cert_reqs": "required"}),
        ("?ssl_cert_reqs=none", {"ssl_cert_reqs": "none"}),
        ("?ssl_cert_reqs=CERT_OPTIONAL", {"ssl_cert_reqs": "optional"}),
        (
            "?ssl_check_hostname=False&ssl_ca_certs=/a%20b.pem",
            {"ssl_cert_reqs": "required", "ssl_check_hostname": False, "ssl_ca_certs": "/a b.pem"},
        ),
    ],
)
def test_certificates_are_checked_by_both_unless_the_url_says_otherwise(options, tls):
    url = parse_broker_url(f"rediss://:pw@h:7/3{options}")
    assert url.celery_tls == tls
    read = parse_url(url.for_redis)
    assert {name: read[name] for name in tls} == tls
    with Connection(url.for_celery, ssl=url.celery_tls) as connection:
        assert connection.ssl == tls
    assert as_celery_reads(url) == as_redis_reads(url) == ("h", 7, None, "pw", 3)


BY_NUMBER = "must name its database by a number"
ENCODE = "write # as %23, / as %2F"
HOST, PORT, PATH = "names no host", "a port from 1 to 65535", "the whole path of a socket"
REFUSED = [
    ("", "is no URL of a Redis server"),
    ("s3cret", "is no URL of a Redis server"),
    ("localhost:6379", "is no URL of a Redis server"),
    ("amqp://h", "is no URL of a Redis server"),
    ("redis://", "is no URL of a Redis server"),
    ("sentinel://h:26379", "names a Sentinel"),
    ("valkey://h", "write redis://"),
    ("redis://h/abc", "by a number, 0 if nothing is said, not 'abc'"),
    ("redis://h/0/1", BY_NUMBER),
    ("redis://h/-1", BY_NUMBER),
    ("redis://h/²", BY_NUMBER),
    ("redis://h?db=x", BY_NUMBER),
    ("redis://h/1?db=2", "several databases (1, 2)"),
    ("unix:///r.sock?db=x", BY_NUMBER),
    ("redis://:s3cret#x@h:1/0", ENCODE),
    ("redis://:s3cret/x@h:1/0", ENCODE),
    ("redis://:12/s3cret@h:1/0", ENCODE),
    ("redis://:s3cret?x@h:1/0", ENCODE),
    ("redis://:s3cret[x@h:1/0", ENCODE),
    ("redis://:s3cret x@h:1/0", ENCODE),
    ("redis://:a@s3cret/x@h:1/0", ENCODE),
    ("redis://:s3cret\uff03x@h:1/0", ENCODE),
    ("unix://:s3cret/x@/r.sock", ENCODE),
    ("unix://:s3cret#x@/r.sock", ENCODE),
    ("redis:///0", HOST),
    ("redis://:s3cret@:6379/0", HOST),
    ("redis://me:s3cret", PORT),
    ("redis://h:65536", PORT),
    ("redis://h:0", PORT),
    ("redis://h:x/0", PORT),
    ("redis://a..b/0", "names a host that cannot be one"),
    ("redis://a;redis://b", "one server, not several"),
    ("redis://a,b:1/0", "one server, not several"),
    ("unix://run/r.sock", PATH),
    ("redis+socket://:s3cret@", PATH),
    ("redis://h/0?socket_timeout=5", "options that Celery or the counters do not take"),
    ("redis://h/0?password=s3cret", "options that Celery or the counters do not take"),
    ("redis://h/0?ssl_cert_reqs=none", "those of TLS need rediss://"),
    ("unix:///r.sock?path=/x", "options that Celery or the counters do not take"),
    ("rediss://h?ssl_cert_reqs=maybe", "one of required, optional, none"),
    ("rediss://h?ssl_check_hostname=2", "one of true, false"),
    ("rediss://h?ssl_keyfile=k", "ssl_keyfile without ssl_certfile"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_one_of_them_does_not_take_is_refused_without_its_password(text, reason):
    with pytest.raises(UsageError) as refused:
        parse_broker_url(text)
    message = str(refused.value)
    assert reason in message
    assert message.startswith("--broker (or SELF_ENSEMBLE_BROKER) ")
    assert "producer run" in message
    assert "s3cret" not in message
    assert "\n" not in message
