"""One attempt without a shared volume: what it needs is fetched, what it made is delivered.

The service names everything: the task (what the input file is to a step with a volume), the files
of the inputs, where each output file goes. `images/pipelines` has the other side (`steps/`).

    POST claim      {"claim": ID}; gives the task, 409 if another launcher has claimed it
    GET  inputs     gives {"files": [{path, size, sha256, url} or {path, folder}]}
    POST outputs    {"files": [{path, size, sha256, md5, parts} or {path, folder}]};
                    gives {"files": [{path, url, headers} or
                    {path, "parts": [{url, headers, start, size}]}]}
    PUT  result     the record; commits the outputs

A url may lead to an object store. Paths are relative: of inputs to the pipeline root, of outputs
to the attempt's own folder.
"""

from __future__ import annotations

import os
import stat
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import build, content, placeholders, python_call, task
from .outputs import OutputError
from .service import Digests, Service, TransferError, digests

TOKEN = "TOOLKIT_STEP_TOKEN"  # noqa: S105 - the name of a variable
_CLAIM = "TOOLKIT_LAUNCHER_CLAIM"
_AT_A_TIME = 4
_MAX_FILES = 100_000


def run(url: str, entry: str) -> int:
    """Run the attempt that the token stands for and give the exit code for the pod.

    Args:
        url: where the service serves steps.
        entry: this launcher's `__main__.py`, to start it anew.
    """
    # The user's code has no use for them.
    token = os.environ.pop(TOKEN)
    claim = os.environ.pop(_CLAIM, "")
    resumed = bool(claim)
    claim = claim or uuid.uuid4().hex
    service = Service(url, token)
    try:
        found = service.call("POST", "claim", {"claim": claim})
    except TransferError as error:
        sys.stderr.write(f"the step cannot start: {error}\n")
        return 125
    if found["certificates"]:
        service.trust(found["certificates"])
    message = "" if resumed else _install(found)
    environment = found["environment"]
    if environment and not resumed:
        names = python_call.clashes(environment)
        if not python_call.reloadable(names):
            # As in `task.run`: compiled modules of a warm interpreter cannot be replaced.
            os.environ.update({TOKEN: token, _CLAIM: claim})
            os.execv(sys.executable, [sys.executable, entry, "remote", url])  # noqa: S606
    message = message or _fetch_inputs(service, found)
    # Before the task runs, which may write there.
    install = None if message else found["install"]
    packages = build.packages(install["target"]) if install is not None else []
    result = task.record(*task.failed(message)) if message else task.attempt(found)
    try:
        if result["exit_code"] == 0:
            result = _deliver(service, found, {**result, "packages": packages})
        service.call("PUT", "result", result)
    except TransferError as error:
        sys.stderr.write(f"the step's record cannot be delivered: {error}\n")
        return result["exit_code"] or 1
    return int(result["exit_code"])


def _install(found: dict[str, Any]) -> str:
    """Install the packages that the task asks for; give what is wrong, or ""."""
    if found["install"] is None:
        return ""
    satisfied, message = build.install(found["install"])
    if satisfied:
        found["environment"] = None
    return message


def _fetch_inputs(service: Service, found: dict[str, Any]) -> str:
    """Bring the inputs to where the task expects them; give what is wrong, or ""."""
    try:
        os.makedirs(found["folder"], exist_ok=True)
        _fetch(service, found["root"])
    except TransferError as error:
        return f"an input cannot be fetched: {error}"
    except OSError as error:
        return f"an input cannot be kept: {error}"
    return ""


def _fetch(service: Service, root: str) -> None:
    files = []
    for each in service.call("GET", "inputs")["files"]:
        path = os.path.join(root, *_parts(each["path"]))
        if each.get("folder"):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            files.append((each, path))
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for _ in pool.map(lambda each: service.download(*each), files):
            pass


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if not all(parts) or ".." in parts or "." in parts or "\0" in path:
        raise TransferError(f"the service named a file outside of the root: {path!r}")
    return parts


def _deliver(service: Service, found: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Send the content of the artifacts; give the record, that of a failure if that fails."""
    folder = found["folder"]
    try:
        entries: dict[str, Digests | None] = {}
        for name, listed in result["artifacts"].items():
            for each in listed:
                path = os.path.normpath(placeholders.local_path(each["uri"]))
                if path.startswith(folder + "/"):
                    below = path[len(folder) + 1 :]
                    _list(name, path, below, entries, (), found["part_size"])
                    each["digest"] = _digest(below, entries)
        if not entries:
            return result
        _send(service, folder, entries)
    except (OutputError, TransferError, OSError) as error:
        return task.record(*task.failed(f"an output cannot be delivered: {error}"))
    return result


def _digest(below: str, entries: dict[str, Digests | None]) -> str:
    """Give the digest of what was listed at a path; see `content`."""
    if below not in entries:
        return content.NOTHING
    own = entries[below]
    if own is not None:
        return content.of_file(own.sha256)
    inner = [path for path in entries if path.startswith(f"{below}/")]
    return content.of_folder(
        (path[len(below) + 1 :], None if (found := entries[path]) is None else found.sha256)
        for path in sorted(inner, key=content.in_order)
    )


def _send(service: Service, folder: str, entries: dict[str, Digests | None]) -> None:
    """Send all files, each where the service says; several pieces at a time."""
    declared = [
        {"path": below, "folder": True} if found is None else {"path": below, **found._asdict()}
        for below, found in entries.items()
    ]
    places = service.call("POST", "outputs", {"files": declared})["files"]
    pieces = [
        (place, number) for place in places for number in range(len(place.get("parts", "-")))
    ]

    def send(piece: tuple[dict[str, Any], int]) -> None:
        place, number = piece
        known = entries[place["path"]]
        if known is None:
            raise TransferError(f"the service wants the folder {place['path']!r} as a file")
        service.upload(place, number, os.path.join(folder, place["path"]), known)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for _ in pool.map(send, pieces):
            pass


def _list(
    name: str,
    path: str,
    below: str,
    entries: dict[str, Digests | None],
    above: tuple[tuple[int, int], ...],
    part_size: int,
) -> None:
    """Add what is at a path, folders as None.

    Links are followed: what they lead to is the artifact's content.
    """
    if len(entries) >= _MAX_FILES:
        raise OutputError(
            f"artifact {name!r} has more than {_MAX_FILES} files: make it an archive"
        )
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise OutputError(f"artifact {name!r}: {below} is a link to nothing") from None
        # Not written, as an artifact may well be.
        return
    if stat.S_ISREG(status.st_mode):
        entries[below] = digests(path, part_size)
    elif stat.S_ISDIR(status.st_mode):
        own = (status.st_dev, status.st_ino)
        if own in above:
            raise OutputError(f"artifact {name!r}: {below} is a link to a folder that holds it")
        entries[below] = None
        for each in sorted(os.listdir(path)):
            inner = (*above, own)
            _list(name, os.path.join(path, each), f"{below}/{each}", entries, inner, part_size)
    else:
        raise OutputError(f"artifact {name!r}: {below} is neither a file nor a folder")
