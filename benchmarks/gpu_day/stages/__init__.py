"""The stages of a GPU day. Each is a process: `python -m benchmarks.gpu_day.stages NAME PIPE`.

A module for each kind of stage; `rows` measures a row, `bench` holds what the stages share.
"""
