"""Data sets: named collections of samples, from a file, the hub, or another distribution.

registry finds a data set by name; dataset has the class; stream reads one once; builtin/ has one
file for each data set that comes with the producer; readers/ has the file formats and the cells
of their rows.
"""

from producer.datasets.dataset import Dataset
from producer.datasets.registry import known_datasets, open_dataset
from producer.datasets.selection import Selection

__all__ = ["Dataset", "Selection", "known_datasets", "open_dataset"]
