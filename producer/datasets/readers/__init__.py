"""Readers: the rows of question files in each format, and what the cells of a row may hold.

formats picks the reader by the name of the file: text_files or tables. A reader yields rows, whose
cells are checked where a data set asks for them.
"""
