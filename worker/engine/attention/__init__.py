"""Attention backends: ways to compute masked attention that all give the same answer.

`backend` is their base class and their registry. Each has a file of its own, which registers one
value, and `choose` lists the candidates of a device.
"""
