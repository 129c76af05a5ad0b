"""Which causal families of transformers the engine answers exactly; start with `survey`."""
