"""A model as it is on disk and in memory: weights, tokenizer, geometry, device, free memory.

The floor below the engine. It imports nothing of the engine and knows nothing of runs.
"""
