import fcntl
import json
import os
import subprocess
import threading

import pytest

from tinykube import cli


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("TINYKUBE_DATA", str(folder))
    return folder


def test_status_when_nothing_runs(capsys, data):
    assert cli.main(["status"]) == 3
    assert "does not run" in capsys.readouterr().out
    assert cli.main(["status", "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert (shown["running"], shown["pid"], shown["data"]) == (False, None, str(data))


def test_status_of_one_that_runs(capsys, data):
    data.mkdir()
    (data / "kubeconfig").write_text("    server: https://127.0.0.1:5\n")
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT)
    try:
        os.write(descriptor, b"%d\n" % os.getpid())
        # A pid alone says nothing: the file may be an old one.
        assert cli.main(["status"]) == 3
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert cli.main(["status"]) == 0
    finally:
        os.close(descriptor)
    shown = capsys.readouterr().out
    assert f"process {os.getpid()}" in shown
    assert "https://127.0.0.1:5" in shown


def test_one_that_was_killed_while_it_started_a_process(capsys, data):
    """That process holds the lock until it is another program."""
    data.mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (data / "lock").write_text(str(ended.pid))
    with (data / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        release = threading.Timer(0.3, fcntl.flock, (held, fcntl.LOCK_UN))
        release.start()
        assert cli.main(["status"]) == 3
        release.join()
    assert "does not run" in capsys.readouterr().out


def test_stop_when_nothing_runs(capsys):
    assert cli.main(["stop"]) == 0
    assert "does not run" in capsys.readouterr().out
    assert cli.main(["stop", "--pods"]) == 0
    assert "ended 0 containers" in capsys.readouterr().out


def test_kubeconfig(capsys, data):
    assert cli.main(["kubeconfig"]) == 1
    assert "tinykube start" in capsys.readouterr().err
    data.mkdir()
    (data / "kubeconfig").write_text("it\n")
    assert cli.main(["kubeconfig"]) == 0
    assert capsys.readouterr().out == f"{data / 'kubeconfig'}\n"
    assert cli.main(["kubeconfig", "--raw"]) == 0
    assert capsys.readouterr().out == "it\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["status", "--fast"]])
def test_what_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: tinykube" in capsys.readouterr().err
