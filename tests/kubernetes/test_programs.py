"""Programs are built whole, once, and anew when their module changes."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from minijuju.golang import GoError

from . import programs


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A small module in place of the real ones."""
    folder = tmp_path / "go/word"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.test/word\n\ngo 1.18\n")
    (folder / "main.go").write_text('package main\n\nfunc main() { println("one") }\n')
    monkeypatch.setattr(programs, "MODULES", tmp_path / "go")
    monkeypatch.setattr(programs, "PROGRAMS", {"word": programs.Program("word", ".")})
    return folder


def said(program):
    return subprocess.run([program], capture_output=True, text=True, check=True).stderr


def test_one_is_built_by_many(module, tmp_path):
    store, lines = tmp_path / "store", []
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(programs.ensure, "word", store, progress=lines.append) for _ in "abc"]
        (found,) = {job.result() for job in jobs}
    assert said(found) == "one\n"
    assert len([line for line in lines if "building word" in line]) == 1
    assert sorted(path.name for path in found.parent.parent.iterdir()) == sorted(
        [found.parent.name, "word.lock"]
    )


def test_a_changed_module_is_another_program(module, tmp_path):
    before = programs.ensure("word", tmp_path / "store")
    (module / "main.go").write_text('package main\n\nfunc main() { println("two") }\n')
    assert programs.find("word", tmp_path / "store") is None
    after = programs.ensure("word", tmp_path / "store")
    assert (said(before), said(after)) == ("one\n", "two\n")


def test_a_failed_build_leaves_nothing(module, tmp_path):
    (module / "main.go").write_text("package main\n")
    with pytest.raises(GoError, match="function main is undeclared"):
        programs.ensure("word", tmp_path / "store")
    assert programs.find("word", tmp_path / "store") is None
    assert [path.name for path in (tmp_path / "store/tools").iterdir()] == ["word.lock"]


def test_check_builds_nothing(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SANDBOX_STORE", str(tmp_path / "store"))
    assert programs.main(["--check"]) == 1
    assert "word" in capsys.readouterr().out
    assert programs.main([]) == 0
    assert programs.main(["--check"]) == 0


def test_the_version_is_the_modules():
    text = (programs.MODULES / "controlplane/go.mod").read_text()
    assert f"k8s.io/kubernetes {programs.VERSION}" in text
