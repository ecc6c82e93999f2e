"""Building Go programs; the whole of it is in test_pebble."""

import os
import shutil
import subprocess
import sys

import pytest

from minijuju import golang


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.32.1\n", (1, 32, 1)),
        ("go1.26.8", (1, 26, 8)),
        ("go1.27rc1", (1, 27, 0)),
        ("v2.0", (2, 0, 0)),
        ("client  v1.9.0-dev", (1, 9, 0)),
        ("none", None),
        ("", None),
    ],
)
def test_versions(text, version):
    assert golang.parse_version(text) == version


def test_a_step_that_takes_too_long_is_ended(tmp_path):
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(golang.GoError, match="took more than"):
        golang.run(
            [sys.executable, "-c", script, str(tmp_path / "pid")],
            cwd=tmp_path,
            env=os.environ,
            what="a step",
            seconds=2,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_module_without_a_go_line(tmp_path, monkeypatch):
    (tmp_path / "go.mod").write_text("module x\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "go").write_text("#!/bin/sh\necho go1.99.0\n")
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with pytest.raises(golang.GoError, match="no go line"):
        golang.toolchain(tmp_path, tmp_path)


@pytest.fixture
def module(tmp_path):
    """A module with a program that prints a word, which the linker can set."""
    if not shutil.which("go"):
        pytest.skip("no Go on PATH")
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.test/x\n\ngo 1.18\n")
    (module / "main.go").write_text(
        'package main\n\nvar word = "unset"\n\nfunc main() { println(word) }\n'
    )
    return module


@pytest.fixture
def scratch(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


def test_a_build_with_caches_of_its_own_leaves_nothing_elsewhere(
    tmp_path, module, scratch, monkeypatch
):
    home = tmp_path / "home"
    settings = home / ".config/go/env"
    settings.parent.mkdir(parents=True)
    settings.write_text("GOOS=plan9\n")
    for name in ("GOENV", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GOPATH", "GOCACHE", "GOMODCACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    golang.build(module, ".", tmp_path / "x", scratch=scratch, caches=scratch)
    # The settings of the user hold: this is a program of another system.
    assert not (tmp_path / "x").read_bytes().startswith(b"\x7fELF")
    assert [path for path in home.rglob("*") if path.is_file()] == [settings]


def test_a_program_is_built_with_the_caches_of_the_user(tmp_path, module, scratch):
    said = []
    golang.build(
        module,
        ".",
        tmp_path / "x",
        scratch=scratch,
        flags="-X main.word=set",
        progress=said.append,
    )
    done = subprocess.run([tmp_path / "x"], capture_output=True, text=True, check=True)
    assert done.stderr == "set\n"
    assert [line.startswith("building x with") for line in said] == [True]
