"""Reports: merged runs -> statistics -> one document, shown in the terminal, as JSON or a page.

Needs only files of the store: no GPU, no torch, no broker.
"""
