"""Data sets: named collections of samples, a file each or one of the person's own.

registry finds one by name; dataset says what one is; stream reads it once; readers/ are the file
formats and the cells of their rows.
"""

from producer.datasets.dataset import Dataset
from producer.datasets.question_files import read_questions
from producer.datasets.registry import known_datasets, open_dataset
from producer.datasets.selection import Selection

__all__ = ["Dataset", "Selection", "known_datasets", "open_dataset", "read_questions"]
