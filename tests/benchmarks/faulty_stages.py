"""Stages that go wrong, as a program with the arguments of `benchmarks.gpu_day.stages`."""

import json
import os
import subprocess
import sys
import time

name, pipe = sys.argv[1], int(sys.argv[2])


def write(**line):
    os.write(pipe, (json.dumps(line) + "\n").encode())


write(row="first", event="begin", limit=9)
write(row="first", took=0.5, figures={"ms": 7.0})
print('{"row": "printed", "figures": {}}')
write(row="second", event="begin", limit=9)
if name == "hangs":
    # What a stage has started is killed with it.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    write(row="child", figures={"pid": child.pid})
    write(row="third", event="begin", limit=9)
    time.sleep(600)
if name == "aborts":
    print("last words", flush=True)
    os.abort()
if name == "no_device":
    write(no_device="torch sees no GPU here")
