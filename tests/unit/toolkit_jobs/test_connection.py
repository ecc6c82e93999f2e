"""Service accounts and kubeconfigs."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from toolkit_jobs import Connection, ConnectionFileError, UnavailableError


def kubeconfig(folder: Path, **user: Any) -> Path:
    authority = base64.b64encode(b"PEM").decode()
    data = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "ml"}}],
        "clusters": [
            {
                "name": "k",
                "cluster": {
                    "server": "https://127.0.0.1:1/",
                    "certificate-authority-data": authority,
                },
            }
        ],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_kubeconfig_with_a_token(tmp_path: Path) -> None:
    found = Connection.from_environment({"KUBECONFIG": str(kubeconfig(tmp_path, token="t"))})
    assert (found.url, found.authority, found.namespace) == ("https://127.0.0.1:1", "PEM", "ml")
    assert found.headers() == {"Authorization": "Bearer t"}


def test_a_kubeconfig_with_a_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFileError, match="neither a token nor a certificate"):
        Connection.from_kubeconfig(kubeconfig(tmp_path, exec={"command": "x"}))


@pytest.mark.parametrize("text", ["", "[]", "a: [", "current-context: x"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConnectionFileError, match="not a usable kubeconfig"):
        Connection.from_kubeconfig(path)


def test_a_service_account(tmp_path: Path) -> None:
    for name, text in (("ca.crt", "PEM"), ("namespace", "ml\n"), ("token", "one\n")):
        (tmp_path / name).write_text(text)
    env = {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = Connection.from_environment(env, tmp_path)
    assert (found.url, found.namespace) == ("https://[::1]:443", "ml")
    assert found.headers() == {"Authorization": "Bearer one"}
    (tmp_path / "token").write_text("two\n")
    assert found.headers() == {"Authorization": "Bearer one"}
    found.forget_token()
    assert found.headers() == {"Authorization": "Bearer two"}
    (tmp_path / "token").unlink()
    found.forget_token()
    with pytest.raises(UnavailableError, match="token"):
        found.headers()


def test_no_cluster_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFileError, match="KUBERNETES_SERVICE_HOST"):
        Connection.from_environment({}, tmp_path)


def test_a_kubeconfig_with_a_certificate_in_it(tmp_path: Path) -> None:
    certificate, key = issued()
    path = kubeconfig(
        tmp_path,
        **{
            "client-certificate-data": base64.b64encode(certificate.encode()).decode(),
            "client-key-data": base64.b64encode(key.encode()).decode(),
        },
    )
    data = yaml.safe_load(path.read_text())
    authority = base64.b64encode(certificate.encode()).decode()
    data["clusters"][0]["cluster"]["certificate-authority-data"] = authority
    path.write_text(yaml.safe_dump(data))
    found = Connection.from_kubeconfig(path)
    assert found.pair == (certificate, key)
    assert key not in repr(found)
    assert found.headers() == {}
    assert found.tls().get_ca_certs()[0]["subject"] == ((("commonName", "test"),),)


def issued() -> tuple[str, str]:
    """A certificate that signed itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(pem).decode(), private.decode()
