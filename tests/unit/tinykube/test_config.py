import stat
from pathlib import Path

import pytest

from tinykube import config, quantity
from tinykube.config import ConfigError, Folder


def test_an_absent_file_is_the_machine(tmp_path):
    found = config.read(tmp_path / "config.yaml")
    assert found.port == config.DEFAULT_PORT
    assert int(found.capacity["cpu"]) >= 1
    assert quantity.parse(found.capacity["memory"]) > 2**20
    assert found.capacity["pods"] == "250"


def test_what_the_file_says(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "port: 7000\ncapacity: {cpu: 1, memory: 2Gi, example.com/gpu: 2}\nimages: []\n"
    )
    found = config.read(path)
    assert found.port == 7000
    assert found.capacity["cpu"] == "1"
    assert found.capacity["example.com/gpu"] == "2"
    assert found.capacity["pods"] == "250"
    path.write_text("")
    assert config.read(path).port == config.DEFAULT_PORT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- x", "must be a mapping"),
        ("prot: 1", "unknown key 'prot'; the keys are port, capacity, images"),
        ("port: high", "port is 'high'"),
        ("port: 70000", "port is 70000"),
        ("port: true", "port is True"),
        ("capacity: 5", "capacity must map"),
        ("capacity: {cpu: lots}", "capacity.cpu is 'lots'"),
        ("capacity: {cpu: -1}", "capacity.cpu is -1"),
        ("capacity: {cpu: [1]}", "capacity.cpu"),
        ("hostPaths: /srv", "hostPaths must be a list of absolute paths"),
        ("gpus: {strategy: both}", "gpus.strategy is 'both'"),
        ("hostPaths: [srv]", "hostPaths must be a list of absolute paths"),
        ("podPidsLimit: 0", "podPidsLimit is 0; it must be a number above 0, or -1"),
        ("podPidsLimit: many", "podPidsLimit is 'many'"),
        ("podPidsLimit: true", "podPidsLimit is True"),
        ("{", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.read(path)


@pytest.mark.parametrize(
    ("text", "most"), [("", 4096), ("podPidsLimit: 100", 100), ("podPidsLimit: -1", None)]
)
def test_how_many_processes_a_container_may_have(tmp_path, text, most):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert config.read(path).pod_pids == most


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.read(path)


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYKUBE_DATA", str(tmp_path / "a"))
    assert Folder.default().root == tmp_path / "a"
    monkeypatch.delenv("TINYKUBE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Folder.default().root == tmp_path / "tinykube"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert Folder.default().root == tmp_path / ".local/share/tinykube"


def test_the_folder_is_private(tmp_path):
    folder = Folder(tmp_path / "data")
    folder.root.mkdir(mode=0o755)
    folder.make()
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
