"""Reports: merged runs -> statistics -> one document, shown in the terminal, as JSON or a page.

Reads feather files only; no GPU, no torch, no broker.
"""
