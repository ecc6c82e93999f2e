"""Other people's libraries as judges: small Go programs that answer a question a line."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from minijuju import golang
from sandbox.images import store_root

Ask = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]


def judge(module: Path, name: str) -> Ask:
    """Build the program of a module, unless it is there; give the way to ask it.

    Its answers, JSON objects, come in the order of the questions. Without Go the test is skipped.
    """
    program = _program(module, name)

    def ask(questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        done = subprocess.run(
            [program], input=lines, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return ask


def _program(module: Path, name: str) -> Path:
    digest = hashlib.sha256()
    for file in sorted(module.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    tools = store_root() / "tools"
    program = tools / f"{name}-{digest.hexdigest()[:12]}"
    if program.exists():
        return program
    if shutil.which("go") is None:
        pytest.skip(f"{name} is built by Go, which is not on PATH")
    with golang.workshop(tools, name) as scratch:
        if not program.exists():
            golang.build(module, ".", scratch / name, scratch=scratch, seconds=540)
            (scratch / name).rename(program)
    return program
