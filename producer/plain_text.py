"""Text of models and data files, made fit for a terminal: it may hold what steers one."""


def plain_text(text: str) -> str:
    """Return the text with escapes for what is not printable, such as line ends and ESC.

    >>> plain_text("a\\x1b[2Jb\\u202e")
    'a\\\\x1b[2Jb\\\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
