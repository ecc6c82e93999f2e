"""Builds an environment of installed packages for one image, with uv, inside that image.

The request file is in the folder that becomes the environment:

    {"version": "1", "target": "/toolkit/environment/site",
     "groups": [{"requirements": ["scikit-learn"], "no_deps": false,
                 "options": ["--index-url", "..."], "fallback": []}],
     "env": {"UV_DEFAULT_INDEX": "..."}}                     for uv alone; may be left out

A group that the image has already is left out; if that is all of them nothing is installed. The
record, `result.json` beside the request, says how it went:

    {"version": "1", "satisfied": true, "message": ""}
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from . import files

_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_UNCHANGED = "Would make no changes"


def run(path: str) -> int:
    """Build what a request asks for; 0 if it was done, 1 if packages could not be installed."""
    request = files.read_json(path)
    satisfied, message = install(request)
    result: dict[str, Any] = {"version": "1", "satisfied": satisfied, "message": message}
    if not message:
        files.sync_tree(request["target"])
    files.write_json(os.path.join(os.path.dirname(path), "result.json"), result)
    return 1 if message else 0


def install(request: dict[str, Any]) -> tuple[bool, str]:
    """Install what a request asks for; give whether the image had it all, and what went wrong."""
    satisfied = True
    for group in request["groups"]:
        has, message = _install(request, group)
        if message and group["fallback"]:
            has, message = _install(request, {**group, "requirements": group["fallback"]})
        satisfied = satisfied and has
        if message:
            return satisfied, message
    return satisfied, ""


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
    code, text = _call(
        [*words, "--target", target, "--link-mode", "copy", "--compile-bytecode", *tail], extra
    )
    sys.stderr.write(text)
    if code != 0:
        return False, f"could not install {wanted}: {text.strip()[-3000:]}"
    return False, ""


def _call(words: list[str], extra: dict[str, str]) -> tuple[int, str]:
    env = {**os.environ, **extra}
    env.update(
        UV_NO_PROGRESS="1",
        UV_PYTHON_DOWNLOADS="never",
        UV_NO_CONFIG="1",
        NO_COLOR="1",
    )
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
