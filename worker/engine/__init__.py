"""The engine: samples in, generated tokens out, on one device.

It knows nothing of Celery, stores or files. Start with `plan` (segments and sequences), then
`masks`, `attention`, `kv_cache` (prefill), `row_group`, `decode` (the loop), `fusion` and
`engine`. `reference` is the specification: all of them are tested against it.
"""
