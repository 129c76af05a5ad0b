"""Which causal families of transformers are answered exactly; start with `survey`."""
