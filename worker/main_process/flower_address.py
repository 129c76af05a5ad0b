"""Flower's address: this machine, or any other together with a password.

By itself Flower listens on all interfaces, and whoever reaches it may end workers and tasks.
"""

import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

THIS_MACHINE = "127.0.0.1"


def keep_flower_private() -> None:
    """Have `celery flower`, if that is the command, check its address once options are read."""
    # Celery imports the commands of others before an application; only Flower brings tornado, and
    # parses options with it.
    if "flower" in sys.modules and (tornado := sys.modules.get("tornado.options")):
        tornado.add_parse_callback(check_when_read(tornado.options))


def check_when_read(options: Any) -> Callable[[], None]:
    """Return what to call each time Flower has read its options.

    It does so twice if there is a configuration file, and the first time not yet from there.
    """
    times = 0

    def check() -> None:
        nonlocal times
        times += 1
        if times > 1 or not Path(options.conf).exists():
            check_address(options)

    return check


def check_address(options: Any) -> None:
    """Set the address of this machine where none is given. Exits for an open address."""
    options.address = options.address or THIS_MACHINE
    if not (_is_this_machine(options.address) or options.basic_auth or options.auth):
        sys.exit(
            f"error: Flower would listen on {options.address} without a password, and whoever "
            "reaches it may end workers: set FLOWER_BASIC_AUTH=user:password (or --basic-auth), "
            f"or leave the address out to listen on {THIS_MACHINE}"
        )


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
