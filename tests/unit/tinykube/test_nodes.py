import pytest

from tinykube import cli, nodes


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
