"""Pipelines that pry, misbehave and take their time."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's notes on its own default image
    from kfp import dsl

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def pry(paths: list, urls: list, pids: list) -> dict:
    """Try to reach what is not the step's own; tell what could be reached."""
    import os
    import ssl
    import urllib.error
    import urllib.request

    def ask(url: str, headers: dict) -> int:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            request = urllib.request.Request(url, headers=headers)
            with opener.open(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    def writable(top: str) -> list:
        found = []
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                except OSError:
                    continue
                found.append(path)
        return found

    tokens = {name: value for name, value in os.environ.items() if "TOKEN" in name}
    stolen = {"Authorization": "Bearer " + tokens["MLFLOW_TRACKING_TOKEN"]}
    return {
        "seen": [path for path in paths if os.path.lexists(path)],
        "answers": {url: ask(url, {}) for url in urls},
        "answers to the step's token": {url: ask(url, stolen) for url in urls},
        "alive": [pid for pid in pids if alive(pid)],
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "tokens": sorted(tokens),
        "homes": [os.listdir(home) for home in ("/home", "/srv", "/mnt", "/var/lib")],
        "account": os.path.lexists("/var/run/secrets"),
        "below the root": [folder for folder, _, _ in os.walk("/minio")],
        "kernel": writable("/proc/sys") + writable("/sys"),
        "sockets": [line for line in open("/proc/net/unix") if "@" in line],
    }


@dsl.pipeline(name="prying")
def prying(paths: list, urls: list, pids: list) -> dict:
    return pry(paths=paths, urls=urls, pids=pids).output


@dsl.component(base_image=IMAGE)
def leave(target: str, made: dsl.Output[dsl.Artifact], page: dsl.Output[dsl.HTML]):
    """Leave links in place of artifacts."""
    import os

    os.symlink(target, made.path)
    os.symlink(target, page.path)


@dsl.pipeline(name="leaving")
def leaving(target: str):
    leave(target=target)


@dsl.component(base_image=IMAGE)
def spoil(how: str, made: dsl.OutputPath(str)):
    """Leave an output that is none."""
    import os
    import signal
    import sys

    if how == "fifo":
        os.mkfifo(made)
    elif how == "link":
        os.symlink("/nowhere", made)
    elif how == "folder":
        os.mkdir(made)
    elif how == "large":
        with open(made, "wb") as file:
            file.truncate(1 << 33)
    elif how == "bytes":
        with open(made, "wb") as file:
            file.write(b"\xff\xfe\x00")
    elif how == "record":
        # The launcher's own record, forged before it is written.
        os.mkdir(os.path.join(os.path.dirname(made), "result.json"))
    elif how == "executor":
        os.mkdir(os.path.join(os.path.dirname(made), "executor_output.json"))
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        sys.exit(70)
    else:
        raise ValueError(how)


@dsl.pipeline(name="spoiling")
def spoiling(how: str):
    spoil(how=how)


@dsl.component(base_image=IMAGE)
def shout(megabytes: int) -> int:
    import sys

    line = b"x" * 1023 + b"\n"
    for _ in range(megabytes):
        sys.stdout.buffer.write(line * 1024)
    sys.stdout.buffer.write(b"the last line\n")
    sys.stdout.buffer.flush()
    return megabytes


@dsl.pipeline(name="shouting")
def shouting(megabytes: int):
    shout(megabytes=megabytes)


@dsl.component(base_image=IMAGE)
def abandon(mark: str):
    """Leave children behind, one of which has left the session."""
    import subprocess
    import sys

    waiting = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    subprocess.Popen(waiting)
    subprocess.Popen(waiting, start_new_session=True)


@dsl.pipeline(name="abandoning")
def abandoning(mark: str):
    abandon(mark=mark)


@dsl.component(base_image=IMAGE)
def hoard(megabytes: int) -> int:
    import time

    held = [bytearray(1 << 20) for _ in range(megabytes)]
    time.sleep(600)
    return len(held)


@dsl.pipeline(name="hoarding")
def hoarding(megabytes: int):
    hoard(megabytes=megabytes).set_memory_limit("200M")


@dsl.component(base_image=IMAGE)
def count(seconds: float, before: int = 0) -> int:
    import time

    time.sleep(seconds)
    return before + 1


@dsl.pipeline(name="counting")
def counting(seconds: float = 1.0) -> int:
    """Five steps: one, three side by side, one after them."""
    first = count(seconds=seconds)
    middle = [count(seconds=seconds, before=first.output) for _ in range(3)]
    return count(seconds=seconds, before=middle[-1].output).after(*middle).output


@dsl.pipeline(name="resting")
def resting():
    """Two steps, one after the other, that take no time."""
    count(seconds=0.0, before=count(seconds=0.0).output)


@dsl.component(base_image=IMAGE)
def hold(before: int) -> int:
    """Wait until the run's folder has a file `go`."""
    import glob
    import time

    for _ in range(6000):
        if glob.glob("/minio/**/go", recursive=True):
            return before + 1
        time.sleep(0.1)
    raise TimeoutError("nobody let it go")


@dsl.pipeline(name="holding")
def holding() -> int:
    """Five steps: one, three side by side that are held, one after them."""
    first = count(seconds=0.0)
    middle = [hold(before=first.output) for _ in range(3)]
    return count(seconds=0.0, before=middle[-1].output).after(*middle).output


@dsl.component(base_image=IMAGE)
def wait_for(seconds: int):
    import time

    print("waiting", flush=True)
    time.sleep(seconds)


@dsl.pipeline(name="waiting")
def waiting(seconds: int = 600):
    wait_for(seconds=seconds)


@dsl.component(base_image=IMAGE)
def fill(megabytes: int, data: dsl.Output[dsl.Dataset], page: dsl.Output[dsl.HTML]) -> str:
    """Write random data; give its digest."""
    import hashlib
    import os

    digest = hashlib.sha256()
    with open(data.path, "wb") as file:
        for _ in range(megabytes):
            block = os.urandom(1024 * 1024)
            digest.update(block)
            file.write(block)
    with open(page.path, "w") as file:
        file.write("<p>from the store")
    return digest.hexdigest()


@dsl.component(base_image=IMAGE)
def digest_of(data: dsl.Input[dsl.Dataset]) -> str:
    """Give the digest of a dataset."""
    import hashlib

    digest = hashlib.sha256()
    with open(data.path, "rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()


@dsl.pipeline(name="handing")
def handing(megabytes: int = 100) -> str:
    filled = fill(megabytes=megabytes)
    return digest_of(data=filled.outputs["data"]).output
