"""The engine: samples in, generated tokens and answers out, on one device.

It knows nothing of Celery, stores or files. Reading order: `engine` (the loop), `request`,
`segments` and `planning` (a prompt as segments, sequences and ensembles), `prefix_tree`,
`prefix_cache` and `scheduler` (what is computed once, and what goes together), `kv_cache` and
`model_runner` (prefill and step), `row_group`, `key_bias`, `decode_bucket` and `sampler`
(decoding), `outputs` (answers). `attention` has the masks and the backends. `reference` is the
specification that tests hold the engine to, and `canary` compares a loaded model with the engine.
"""
