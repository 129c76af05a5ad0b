"""Shared by producer and worker: specs, schemas, names, planning and the store.

No module of this package imports torch, transformers or celery, so that a laptop without them can
import all of it.
"""
