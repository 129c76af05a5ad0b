"""What producer and worker agree on: specs, schemas, the store, names.

Knows nothing of torch, transformers or celery: importing any module of this package
must stay possible on a laptop that has none of them.
"""
