import stat

import pytest

from tinykube import cli, nodes, pki
from tinykube.config import Folder
from tinykube.kubeconfig import write_kubeconfig
from tinykube.node import connection


def test_labels_and_taints_of_the_command_line():
    assert nodes.labels("a=b,c=d") == {"a": "b", "c": "d"}
    assert nodes.labels("") == {}
    assert nodes.taints("a=b:NoSchedule,c:NoExecute") == [
        {"key": "a", "value": "b", "effect": "NoSchedule"},
        {"key": "c", "value": "", "effect": "NoExecute"},
    ]


@pytest.mark.parametrize("option", ["--labels=a", "--taints=a=b", "--taints=:NoSchedule"])
def test_what_is_neither_is_told(tmp_path, monkeypatch, capsys, option):
    monkeypatch.setenv("TINYKUBE_DATA", str(tmp_path))
    assert cli.main(["node", f"--kubeconfig={tmp_path}/none", option]) == 1
    assert option.partition("=")[0] in capsys.readouterr().err


def test_a_kubeconfig_that_is_missing_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYKUBE_DATA", str(tmp_path))
    assert cli.main(["node", f"--kubeconfig={tmp_path}/none", "--name=n"]) == 1
    assert "none cannot be read" in capsys.readouterr().err


def test_a_certificate_comes_with_its_key(tmp_path, capsys):
    arguments = ["node", f"--kubeconfig={tmp_path}/none", f"--tls-cert-file={tmp_path}/c"]
    assert cli.main(arguments) == 1
    assert "come together" in capsys.readouterr().err


@pytest.fixture
def plane(tmp_path, monkeypatch):
    """The data folder of a control plane that was started once."""
    folder = Folder(tmp_path / "k")
    folder.make()
    write_kubeconfig(folder.kubeconfig, 7000, pki.prepare(folder.keys, "127.0.0.1"))
    monkeypatch.setenv("TINYKUBE_DATA", str(folder.root))
    return folder


def test_credentials_let_a_node_join(plane, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["node-credentials", "worker", f"--out={out}"]) == 0
    found = connection.read(out / "kubeconfig", tmp_path / "keep")
    assert found.server == "https://127.0.0.1:7000"
    found.tls()
    assert {path.name for path in out.iterdir()} == {
        "kubeconfig",
        "ca.crt",
        "serving.crt",
        "serving.key",
    }
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in out.iterdir())
    assert "--name worker" in capsys.readouterr().out


def test_credentials_that_cannot_be_made_are_told(plane, tmp_path, capsys):
    assert cli.main(["node-credentials", "No Name", f"--out={tmp_path}/out"]) == 1
    assert "names no node" in capsys.readouterr().err
    assert cli.main(["node-credentials", "worker", f"--out={tmp_path}"]) == 1
    assert "is there already" in capsys.readouterr().err
    plane.kubeconfig.unlink()
    assert cli.main(["node-credentials", "worker", f"--out={tmp_path}/out"]) == 1
    assert "`tinykube start` writes it" in capsys.readouterr().err
