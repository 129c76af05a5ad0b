"""The engine against other ways to do the same job; start with `job`, then `baseline`."""
