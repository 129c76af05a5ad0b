"""The commands of `producer`: they turn options into calls, and results into sentences."""
