"""The server's clock: the age of a message is told by it, whatever a worker's own clock says.

By itself kombu takes each worker's clock. A worker two minutes behind notes its messages as that
old, and others take them while it works; one two minutes ahead takes those of all others.
"""

import time
from typing import Any


def server_time(client: Any) -> float:
    """Seconds since 1970 by the clock of a Redis server."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def lead_of_this_host(client: Any) -> float:
    """How many seconds the clock of this host is ahead of the server's."""
    return time.time() - server_time(client)
