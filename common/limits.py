"""Limits: the largest values that options, specs and messages take.

Imports nothing, so that the help of a command knows them at once.
"""

MAX_ROWS = 100_000
"""Rows that one message names."""

MAX_NEW_TOKENS = 32_768
"""Tokens of one answer, its reasoning included."""

MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 100
"""Characters of a stop string."""
