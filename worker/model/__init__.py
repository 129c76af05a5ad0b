"""A model on disk and in memory: weights, tokenizer, device, free memory.

The floor below the engine: imports nothing of it, and knows nothing of runs.
"""
