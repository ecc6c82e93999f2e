"""Builds an environment of installed packages for one image, with uv, inside that image.

The request file is in the folder that becomes the environment:

    {"version": "1", "target": "/toolkit/environment/site",
     "groups": [{"requirements": ["scikit-learn"], "no_deps": false,
                 "options": ["--index-url", "..."], "fallback": []}],
     "env": {"UV_DEFAULT_INDEX": "..."}}                     for uv alone; may be left out

uv also heeds the variables of the process, `UV_CACHE_DIR` and `UV_LINK_MODE` among them.

A group that the image has already is left out; if that is all of them nothing is installed. The
record, `result.json` beside the request, says how it went:

    {"version": "1", "satisfied": true, "message": "", "packages": ["numpy==2.3.5", ...]}

`packages` is the lock: every package that a step in this environment can import.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

from . import files

_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_UNCHANGED = "Would make no changes"


def run(path: str) -> int:
    """Build what a request asks for; 0 if it was done, 1 if packages could not be installed."""
    request = files.read_json(path)
    record = os.path.join(os.path.dirname(path), "result.json")
    _clear(record, request["target"])
    satisfied, message = install(request)
    result: dict[str, Any] = {"version": "1", "satisfied": satisfied, "message": message}
    if not message:
        _compile(request["target"])
        files.sync_tree(request["target"])
        result["packages"] = packages(request["target"])
    files.write_json(record, result)
    return 1 if message else 0


def _clear(record: str, target: str) -> None:
    """Remove what half a build has left: whoever reads the record finds this build's."""
    if os.path.lexists(record):
        os.unlink(record)
    with os.scandir(target) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def install(request: dict[str, Any]) -> tuple[bool, str]:
    """Install what a request asks for; give whether the image had it all, and what went wrong.

    Nothing is compiled: a step that installs for itself alone compiles what it imports, which
    is far less (pandas and scikit-learn: 7 s of CPU instead of 24).
    """
    satisfied = True
    for group in request["groups"]:
        has, message = _install(request, group)
        if message and group["fallback"]:
            has, message = _install(request, {**group, "requirements": group["fallback"]})
        satisfied = satisfied and has
        if message:
            return satisfied, message
    return satisfied, ""


def packages(target: str) -> list[str]:
    """List what can be imported beside what is installed in a folder, as `uv pip freeze` does.

    Args:
        target: the folder; what is in there comes before the same package of the image.

    Returns:
        `NAME==VERSION`, or `NAME @ URL` for what came from an address, sorted by name.
    """
    # Not needed by a step that installs nothing, which has no time for it.
    import importlib.metadata

    found: dict[str, str] = {}
    for each in importlib.metadata.distributions(path=[target, *sys.path]):
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"] or "").lower()
        if name and name not in found:
            address = _address(each.read_text("direct_url.json"))
            found[name] = f"{name} @ {address}" if address else f"{name}=={each.version}"
    return [found[name] for name in sorted(found)]


def _address(text: str | None) -> str:
    """Give the address that a package came from (PEP 610), "" if it came from an index.

    A folder of the machine that made the image is none: it tells nothing of the content.
    """
    if not text:
        return ""
    try:
        origin = json.loads(text)
        if "dir_info" in origin:
            return ""
        # A name and a password are nobody's business.
        url = re.sub(r"//[^/@]*@", "//", str(origin["url"]))
        commit = origin.get("vcs_info", {}).get("commit_id")
        archive = origin.get("archive_info", {}).get("hash")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "an unreadable address"
    if commit:
        return f"{url}@{commit}"
    return f"{url}#{archive}" if archive else url


def _install(request: dict[str, Any], group: dict[str, Any]) -> tuple[bool, str]:
    """Install one group; give whether the image had it, and what went wrong or ""."""
    target, extra = request["target"], request.get("env", {})
    uv = {**os.environ, **extra}.get("TOOLKIT_UV", "/toolkit/bin/uv")
    words = [uv, "pip", "install", "--python", sys.executable]
    words += ["--no-deps"] if group["no_deps"] else []
    words += list(group["options"])
    # Requirements come after `--`: one that begins with a dash is no option.
    tail = ["--", *list(group["requirements"])]
    code, text = _call([*words, "--dry-run", *tail], extra)
    if code == 0 and _UNCHANGED in text:
        return True, ""
    wanted = " ".join(group["requirements"])
    sys.stderr.write(f"installing {wanted}\n")
    sys.stderr.flush()
    code, text = _call([*words, "--target", target, *tail], extra)
    sys.stderr.write(text)
    if code != 0:
        return False, f"could not install {wanted}: {text.strip()[-3000:]}"
    return False, ""


def _compile(target: str) -> None:
    """Compile what was installed: steps read it, and none may write there.

    Not the tests of packages, which are half of pandas and scikit-learn. Some packages ship
    files that no Python 3 compiles; nobody imports those.
    """
    words = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-x", r"/tests?/", target]
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)


def _call(words: list[str], extra: dict[str, str]) -> tuple[int, str]:
    env = {**os.environ, **extra}
    env.update(
        UV_NO_PROGRESS="1",
        UV_PYTHON_DOWNLOADS="never",
        UV_NO_CONFIG="1",
        NO_COLOR="1",
    )
    # An index that falters for a moment fails no step (uv's own default is 3).
    env.setdefault("UV_HTTP_RETRIES", "8")
    if "PIP_INDEX_URL" in env:
        env.setdefault("UV_DEFAULT_INDEX", env["PIP_INDEX_URL"])
    if any(os.path.exists(each) for each in _CERTIFICATES):
        # The image's own certificates, so that a company's authority is trusted.
        env["UV_SYSTEM_CERTS"] = "1"
    done = subprocess.run(
        words,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")
