"""`producer prompt`: the literal prompts of one sample, their tokens, and where they are cut."""
