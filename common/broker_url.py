"""The broker's URL, checked once and written for each of its two readers: Celery and redis-py.

Celery writes a socket as `redis+socket://...?virtual_host=0`, redis-py as `unix://...?db=0`, and
Celery does not check certificates by default. Each fails with a traceback of its own on a URL that
it does not know; here an invalid URL gives one sentence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from common.errors import UsageError

DEFAULT_PORT = 6379

_FORMS = (
    "its form is redis://:password@host:6379/0, rediss://... for TLS, or "
    "unix://:password@/path/of/socket?db=0. `producer run` brings a server of its own"
)
_ENCODE = (
    "cannot be taken apart: in a user name or password write # as %23, / as %2F, ? as %3F, "
    "[ as %5B, % as %25, a blank as %20"
)
_SCHEMES = ("redis", "rediss", "unix", "redis+socket")
_OTHER_SCHEMES = {
    "sentinel": "names a Sentinel, which Celery can follow and the counters cannot: give the "
    "server itself",
    "redis+unix": "has a scheme that neither Celery nor the counters know: write unix://",
    "valkey": "has a scheme that neither Celery nor the counters know: write redis://",
    "valkeys": "has a scheme that neither Celery nor the counters know: write rediss://",
}
_DATABASE = ("db", "virtual_host")
_TLS: dict[str, tuple[str, ...]] = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
    "ssl_ca_certs": (),
    "ssl_ca_path": (),
    "ssl_certfile": (),
    "ssl_keyfile": (),
    "ssl_password": (),
}
"""TLS options that both readers take, and their values; () for any text."""


@dataclass(frozen=True)
class BrokerUrl:
    """A Redis server, at a host and port or at a socket.

    socket: path of the socket, in place of host and port. tls: TLS options; None without TLS.
    """

    host: str
    port: int
    socket: str | None
    username: str
    password: str = field(repr=False)
    database: int
    tls: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def for_celery(self) -> str:
        """The URL for Celery and Flower; the TLS options are in `celery_tls`."""
        if self.socket is not None:
            options = f"?virtual_host={self.database}"
            return f"redis+socket://{self._login}{quote(self.socket)}{options}"
        return f"{self._scheme}://{self._login}{self._place}"

    @property
    def celery_tls(self) -> dict[str, str | bool] | None:
        """The value of Celery's setting `broker_use_ssl`; None without TLS."""
        if self.tls is None:
            return None
        flags = {"true": True, "false": False}
        return {name: flags.get(value, value) for name, value in self.tls.items()}

    @property
    def for_redis(self) -> str:
        """The URL for redis-py."""
        if self.socket is not None:
            return f"unix://{self._login}{quote(self.socket)}?db={self.database}"
        options = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{self._scheme}://{self._login}{self._place}{options}"

    @property
    def shown(self) -> str:
        """The URL for messages, without the password."""
        if self.socket is not None:
            return f"unix://{self.socket}?db={self.database}"
        return f"{self._scheme}://{self._place}"

    @property
    def _scheme(self) -> str:
        return "redis" if self.tls is None else "rediss"

    @property
    def _place(self) -> str:
        host = f"[{quote(self.host, safe=':')}]" if ":" in self.host else quote(self.host)
        return f"{host}:{self.port}/{self.database}"

    @property
    def _login(self) -> str:
        if not self.username and not self.password:
            return ""
        password = f":{quote(self.password, safe='')}" if self.password else ""
        return f"{quote(self.username, safe='')}{password}@"


def parse_broker_url(text: str) -> BrokerUrl:
    """Parse a broker URL. Raises UsageError, whose message never repeats a password.

    >>> url = parse_broker_url("unix://:p%23ss@/run/redis.sock?db=3")
    >>> url.for_celery
    'redis+socket://:p%23ss@/run/redis.sock?virtual_host=3'
    >>> url.for_redis, url.shown
    ('unix://:p%23ss@/run/redis.sock?db=3', 'unix:///run/redis.sock?db=3')
    """
    scheme, _, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES or not rest:
        _refuse(_OTHER_SCHEMES.get(scheme, "is no URL of a Redis server"))
    is_socket = scheme in ("unix", "redis+socket")
    parts = _split(rest, is_socket)
    options = _options(parts.query, scheme)
    path = unquote(parts.path)
    if is_socket and (parts.hostname or parts.port or not path.startswith("/")):
        _refuse("must have the whole path of a socket, as in unix:///run/redis.sock")
    return BrokerUrl(
        host="" if is_socket else _host(parts),
        port=_port(parts),
        socket=path if is_socket else None,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=_database("" if is_socket else path, options),
        tls=_tls(options) if scheme == "rediss" else None,
    )


def _split(rest: str, is_socket: bool) -> SplitResult:
    """Split what follows the scheme. Refuses a URL that an unquoted character cuts in two."""
    authority, *tail = re.split("[/?]", rest, maxsplit=1)
    cut = "@" in "".join(tail) and not (is_socket and (not authority or "@" in authority))
    if cut or "#" in rest or re.search(r"[\s\0-\x1f]", rest):
        _refuse(_ENCODE)
    try:
        return urlsplit(f"redis://{rest}")
    except ValueError:
        _refuse(_ENCODE)


def _host(parts: SplitResult) -> str:
    host = unquote(parts.hostname or "")
    if not host:
        _refuse("names no host; this machine is localhost")
    try:
        host.encode("idna")
    except UnicodeError:
        _refuse("names a host that cannot be one")
    if re.search("[,;]", host):
        _refuse("must name one server, not several")
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        # Do not show it: without an @ and a host, this text is the password.
        _refuse("must have a port from 1 to 65535 after the host")
    return DEFAULT_PORT if port is None else port


def _database(path: str, options: Mapping[str, str]) -> int:
    names = {unquote(options[name]) for name in _DATABASE if name in options}
    names |= {path.removeprefix("/")} - {""}
    if len(names) > 1:
        _refuse(f"names several databases ({', '.join(sorted(names))}); give one")
    for name in names:
        if not re.fullmatch("[0-9]{1,9}", name):
            _refuse(f"must name its database by a number, 0 if nothing is said, not {name!r}")
        return int(name)
    return 0


def _options(query: str, scheme: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = {*_DATABASE, *(_TLS if scheme == "rediss" else ())}
    if not options.keys() <= known:
        hint = "" if scheme == "rediss" else "; those of TLS need rediss://"
        both = f"both take {', '.join(sorted(known))}"
        _refuse(f"has options that Celery or the counters do not take; {both}{hint}")
    return options


def _tls(options: Mapping[str, str]) -> dict[str, str]:
    """Return the TLS options; certificates are checked unless the URL turns the check off."""
    chosen = {"ssl_cert_reqs": "required"}
    for name in _TLS.keys() & options.keys():
        value = options[name]
        if _TLS[name]:
            value = value.lower().removeprefix("cert_")
            if value not in _TLS[name]:
                _refuse(f"has the option {name}, which must be one of {', '.join(_TLS[name])}")
        chosen[name] = value
    if "ssl_keyfile" in chosen and "ssl_certfile" not in chosen:
        _refuse("has the option ssl_keyfile without ssl_certfile")
    return chosen


def _refuse(reason: str) -> NoReturn:
    raise UsageError(f"--broker (or SELF_ENSEMBLE_BROKER) {reason}; {_FORMS}")
