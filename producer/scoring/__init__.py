"""Scoring: merged runs -> columns that say which answers are right. Needs no GPU."""
