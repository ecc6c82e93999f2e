"""What must be there before a deployment: Pebble, the process images, the packed charms.

Independent builds run side by side; each is atomic in its own library, so that one cut in the
middle is made again and never taken for whole.
"""

from __future__ import annotations

import os
import signal
import sysconfig
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import minijuju.programs
from sandbox.images import ImageStore
from toolkit_cli.errors import ToolkitError
from toolkit_cli.pack import Target, pack
from toolkit_cli.progress import Reporter, task
from toolkit_cli.source import Source

WORKERS = 3


def build_all(source: Source, report: Reporter) -> dict[str, str]:
    """Build everything; return the reference of each image by its folder's name.

    Raises:
        ToolkitError: a build failed; the others were let finish or ended.
    """
    references: dict[str, str] = {}
    store = ImageStore()

    def pebble(tell: Callable[[str], None]) -> str:
        return str(minijuju.programs.ensure(progress=tell))

    def image(folder: Path) -> Callable[[Callable[[str], None]], str]:
        def build(tell: Callable[[str], None]) -> str:
            def steps(text: str) -> None:
                # uv lists every package at the end; what takes time is what people want to see.
                if not text.lstrip().startswith(("+ ", "- ", "~ ")):
                    tell(text)

            built = store.build(folder, progress=steps)
            references[folder.name] = built.reference
            return built.reference.rpartition(":")[2][:12]

        return build

    def charm(folder: Path) -> Callable[[Callable[[str], None]], str]:
        def build(tell: Callable[[str], None]) -> str:
            archive = pack(folder, Target.here(), progress=tell)
            return f"{archive.stat().st_size / 1e6:.1f} MB"

        return build

    jobs: dict[str, Callable[[Callable[[str], None]], str]] = {"Pebble": pebble}
    jobs |= {f"image {folder.name}": image(folder) for folder in source.images()}
    jobs |= {f"charm {folder.name}": charm(folder) for folder in source.charms()}
    _side_by_side(jobs, report)
    return references


def _side_by_side(
    jobs: dict[str, Callable[[Callable[[str], None]], str]], report: Reporter
) -> None:
    def work(name: str, job: Callable[[Callable[[str], None]], str]) -> None:
        with task(report, name) as said:
            said.append(job(lambda text: report.note(name, text)))

    # Before there are threads: of two that ask first at once, one finds them half filled.
    sysconfig.get_config_vars()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        running = {pool.submit(work, name, job): name for name, job in jobs.items()}
        done, waiting = wait(running, return_when=FIRST_EXCEPTION)
        failed = [future for future in done if future.exception()]
        if failed:
            for future in waiting:
                future.cancel()
            error: Any = failed[0].exception()
            raise ToolkitError(f"{running[failed[0]]}: {error}") from error
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end_children()
        raise
    finally:
        pool.shutdown(wait=True)


def end_children() -> None:
    """End the compilers and installers that this process started.

    Daemons have sessions of their own and stay; what has ours is part of a build.
    """
    ours = os.getsid(0)
    for process in _descendants(os.getpid()):
        try:
            if os.getsid(process) == ours:
                os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants(parent: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    queue = [parent]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
