"""What a container costs: cold (bubblewrap) and warm (a fork), against the bare process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench.figures import Figure

from sandbox import warm
from sandbox.container import Container
from sandbox.images import ImageStore
from sandbox.spec import Image, Spec

# Modules of the standard library that take as long to import as a small client library.
_MODULES = ("asyncio", "http.client", "urllib.request", "xml.dom.minidom", "sqlite3", "email")
_SCRIPT = f"import {', '.join(_MODULES)}\n"
_LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "bench"
version = "0.1"
source = { virtual = "." }
"""
_RUNS = 30


def run() -> Iterable[Figure]:
    """Start-to-exit-record of `python script.py`, and of `true`."""
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as folder:
        yield from _measure(Path(folder))


def _measure(folder: Path) -> Iterable[Figure]:
    image = _image(folder)
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    count = iter(range(10**6))

    def contained(command: tuple[str, ...], **options: bool) -> Callable[[], None]:
        def once() -> None:
            spec = Spec(command, image=image, output=folder / "log", **options)
            container = Container.start(folder / f"c{next(count)}", spec)
            ended = asyncio.run(container.wait())
            if ended.code:
                raise RuntimeError((folder / "log").read_text())

        return once

    bare = _times(lambda: subprocess.run([sys.executable, script], check=True))
    nothing = _times(lambda: subprocess.run(["/bin/true"], check=True))
    yield Figure("cold: true", _times(contained(("/bin/true",))), "ms", nothing, "bare")
    command = ("python", "-c", _SCRIPT)
    cold = _times(contained(command))
    yield Figure("cold: python script", cold, "ms", bare, "bare")
    warm.prestart(image)
    limit = time.monotonic() + 60
    while not warm.ready(image):
        if time.monotonic() > limit:
            raise TimeoutError("the warm interpreter does not come up")
        time.sleep(0.01)
    yield Figure("warm: python script", _times(contained(command, warm=True)), "ms", cold, "cold")
    warm.close()


def _image(folder: Path) -> Image:
    project = folder / "project"
    project.mkdir()
    (project / "uv.lock").write_text(_LOCK)
    names = ", ".join(f'"{name}"' for name in _MODULES)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "bench"\nversion = "0.1"\nrequires-python = ">=3.11"\n'
        f"[tool.process-image]\npreload = [{names}]\n"
    )
    return ImageStore(folder / "store").build(project)


def _times(once: Callable[[], object]) -> list[float]:
    once()
    found = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        once()
        found.append((time.perf_counter() - began) * 1000)
    return found
