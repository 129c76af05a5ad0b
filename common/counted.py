"""Numbers of things, in words."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "message"), counted(1500, "message")
    ('1 message', '1,500 messages')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
