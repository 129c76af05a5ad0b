"""The engine: samples in, generated tokens out, on one device.

Knows nothing of Celery, stores or files. Read it in this order: layout, masks, plan,
attention, kv_cache, decode, fusion, engine; reference.py is what they are all tested against.
"""
