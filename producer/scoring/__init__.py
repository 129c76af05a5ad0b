"""Score merged runs: add columns that say which answers are right. Needs no GPU."""
