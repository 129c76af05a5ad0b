"""A model on disk and in memory: weights, tokenizer, geometry, device, free memory.

Knows nothing of runs.
"""
