"""Readers: the rows of a file in each format, and the values that their cells may hold.

formats picks the reader by the name of the file: text_files or tables. A reader yields rows; a row
checks a cell when a data set asks for it. questions makes samples of the rows of question files.
"""
