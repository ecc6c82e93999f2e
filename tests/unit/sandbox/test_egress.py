"""The pastas of isolated members, with a program in pasta's place that only waits, or ends."""

import json
import sys
import time
from pathlib import Path

import pytest

from sandbox import egress
from sandbox.process import Identity

PATIENCE = 60
WAITS = f"""#!{sys.executable} -I
import json, os, sys, time
with open(os.path.join(os.path.dirname(sys.argv[0]), "calls"), "a") as file:
    file.write(json.dumps([os.getpid(), sys.argv[1:]]) + chr(10))
time.sleep(600)
"""
ENDS = """#!/bin/sh
echo "Failed to send 7 bytes to syslog"
echo "Failed to open tun socket in namespace"
echo "Failed to send 9 bytes to syslog"
exit 1
"""


def program(folder: Path, text: str) -> str:
    path = folder / "pasta"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def calls(folder: Path, count: int) -> list[tuple[int, list[str]]]:
    """Which process got which words, once there are so many."""
    deadline = time.monotonic() + PATIENCE
    while True:
        text = (folder / "calls").read_text() if (folder / "calls").exists() else ""
        if text.count("\n") >= count:
            return [json.loads(line) for line in text.splitlines()]
        assert time.monotonic() < deadline, text
        time.sleep(0.01)


def lives(pid: int) -> bool:
    return Identity.of(pid) is not None


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def made(tmp_path: Path, said: list[str]):
    keeper = tmp_path / "keeper"
    keeper.mkdir()
    one = egress.Egress(str(keeper), said.append)
    yield one
    one.close()


def test_each_member_has_one_and_those_that_go_lose_it(tmp_path, made, said):
    waits = program(tmp_path, WAITS)
    for _ in range(2):
        made.bring(waits, 12, {"ab/one-0": 7, "ab/two-0": 8})
    (one, words), (two, _) = sorted(calls(tmp_path, 2), key=lambda call: call[1][-1])
    assert words[-4:] == ["--userns", "/proc/12/ns/user", "--netns", "/proc/12/fd/7"]
    assert words[words.index("--log-file") + 1] == str(tmp_path / "keeper" / "egress-ab-one-0.log")
    # Nothing comes in, and loopback stays out of reach.
    for name in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
        assert words[words.index(name) + 1] == "none"
    assert "--no-map-gw" in words
    made.bring(waits, 12, {"ab/two-0": 8})
    assert not lives(one)
    assert lives(two)
    made.bring("", 12, {"ab/two-0": 8})
    assert not lives(two)
    assert said == []


def test_one_that_ends_is_told_once_and_tried_again(tmp_path, made, said, monkeypatch):
    ends = program(tmp_path, ENDS)
    now = 1000.0
    monkeypatch.setattr(egress.time, "monotonic", lambda: now)
    for _ in range(3):
        made.bring(ends, 12, {"one": 7})
        # Its next end is seen at the next look.
        while "one" in made._running and made._running["one"].poll() is None:
            time.sleep(0.01)
        made.bring(ends, 12, {"one": 7})
        assert "one" not in made._running
        now += egress.AGAIN
    assert said == ["one has no way to other machines: Failed to open tun socket in namespace"]


def test_a_program_that_cannot_be_run_is_told(tmp_path, made, said):
    made.bring(str(tmp_path / "none"), 12, {"one": 7})
    assert "No such file" in said[0]


def test_what_a_killed_keeper_has_left_is_ended_and_nobody_else(tmp_path, made):
    waits = program(tmp_path, WAITS)
    other = tmp_path / "keeper2"
    other.mkdir()
    told: list[str] = []
    stranger = egress.Egress(str(other), told.append)
    made.bring(waits, 12, {"one": 7})
    stranger.bring(waits, 12, {"one": 7})
    try:
        first, second = [pid for pid, _ in calls(tmp_path, 2)]
        left = [
            pid
            for pid in (first, second)
            if str(tmp_path / "keeper" / "egress-") in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        egress.end(str(tmp_path / "keeper"))
        assert [pid for pid in (first, second) if not lives(pid)] == left
        assert len(left) == 1
    finally:
        stranger.close()
