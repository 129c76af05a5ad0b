"""What `producer doctor` examines: server, store, workers, queues. One file for each subject.

A check is a function that yields findings; `examination` runs them all.
"""
