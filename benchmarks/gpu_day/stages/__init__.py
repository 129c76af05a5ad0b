"""The stages of a GPU day. Each is a process: `python -m benchmarks.gpu_day.stages NAME PIPE`.

Each kind of stage has a module. `rows` measures a row; `bench` has the device, model and questions
that stages share.
"""
