"""Attention backends: ways to compute masked attention that all give the same answer.

`backend` is what they have in common; each has a file of its own, and `choose` picks one.
"""
