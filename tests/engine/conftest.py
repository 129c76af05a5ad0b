"""Tiny random models of four families, with odd sizes on purpose."""
