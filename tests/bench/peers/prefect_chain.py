"""A chain of tasks in Prefect, its server in the process: print milliseconds of a task, as JSON.

prefect_chain.py LENGTH REPEATS
"""

import json
import sys
import time

from prefect import flow, task


@task
def nothing(x: int) -> int:
    return x


@flow
def chain(length: int) -> int:
    value = 1
    for _ in range(length):
        value = nothing(value)
    return value


if __name__ == "__main__":
    length, repeats = int(sys.argv[1]), int(sys.argv[2])
    chain(length)  # Starts the server.
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        chain(length)
        found.append((time.perf_counter() - began) * 1000 / length)
    print(json.dumps(found))
