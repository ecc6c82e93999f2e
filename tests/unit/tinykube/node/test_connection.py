import base64
import stat

import pytest
import yaml

from tinykube.node import connection
from tinykube.node.connection import KubeconfigError


@pytest.fixture
def written(tmp_path, keys):
    """Write a kubeconfig; reads it back as a Connection."""
    authority = base64.b64encode(keys.authority.read_bytes()).decode()

    def make(user=None, **cluster):
        found = {"server": "https://10.0.0.1:6443", "certificate-authority-data": authority}
        found = {key: value for key, value in {**found, **cluster}.items() if value is not None}
        body = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": found}],
            "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(body))
        return connection.read(path, tmp_path / "keep")

    return make


def test_a_token_and_an_authority(written, keys):
    found = written()
    assert (found.host, found.port) == ("10.0.0.1", 6443)
    assert found.authority == keys.authority.read_text()
    assert found.headers() == {"Authorization": "Bearer t"}
    found.tls()


def test_a_token_in_a_file_is_read_each_time(written, tmp_path):
    found = written(user={"tokenFile": "token"})
    for text in ("one", "two"):
        (tmp_path / "token").write_text(f"{text}\n")
        assert found.headers() == {"Authorization": f"Bearer {text}"}


def test_a_certificate_inside_is_kept_private(written, keys, tmp_path):
    data = {
        "client-certificate-data": base64.b64encode(keys.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(keys.key.read_bytes()).decode(),
    }
    found = written(user=data)
    assert found.headers() == {}
    found.tls()
    assert stat.S_IMODE(found.key.stat().st_mode) == 0o600
    assert found.key.parent == tmp_path / "keep"


def test_a_file_beside_it_as_authority(written, keys, tmp_path):
    (tmp_path / "ca.crt").write_bytes(keys.authority.read_bytes())
    fields = {"certificate-authority-data": None, "certificate-authority": "ca.crt"}
    assert written(**fields).authority == keys.authority.read_text()


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "http://10.0.0.1"}, None, "must begin with https://"),
        ({"insecure-skip-tls-verify": True}, None, "would send this node's credentials"),
        ({"certificate-authority-data": None}, None, "no certificate-authority"),
        ({"certificate-authority-data": "%%"}, None, "is not base64"),
        ({}, {"exec": {"command": "x"}}, "'exec' is no way for a node"),
        ({}, {}, "neither a client certificate nor a token"),
        ({}, {"client-certificate": "x"}, "come together"),
    ],
)
def test_what_cannot_be_used_is_told(written, cluster, user, message):
    with pytest.raises(KubeconfigError, match=message.replace("(", r"\(")):
        written(user=user, **cluster)


@pytest.mark.parametrize("text", ["", "[]", "{", "current-context: x"])
def test_what_is_no_kubeconfig(tmp_path, text):
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=str(path)):
        connection.read(path, tmp_path)
