"""Keys and certificates: the authority of this control plane, its server, its token signer."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_YEARS = 20
_SERVER_YEARS = 2
_RENEW = timedelta(days=365)
_MASTERS = "system:masters"
_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Pki:
    """The files, all below one folder of mode 0700.

    Attributes:
        authority: the CA's certificate, PEM; what clients trust.
        certificate: the server's certificate.
        key: the server's private key.
        signer: the private key that signs service accounts' tokens.
        admin_token: the administrator's token.
        client, client_key: what the API server shows to nodes that it asks for logs.
    """

    authority: Path
    certificate: Path
    key: Path
    signer: Path
    admin_token: Path
    client: Path
    client_key: Path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, at once or not at all."""
    part = path.with_name(f"{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def prepare(folder: Path, address: str) -> Pki:
    """Make what is missing; renew the server's certificate in time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, authority_key = folder / "ca.crt", folder / "ca.key"
    if not (authority.exists() and authority_key.exists()):
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(authority_key, _pem(key))
        write_private(authority, _authority(key).public_bytes(serialization.Encoding.PEM))
        # A server certificate of an older authority would not be trusted.
        (folder / "server.crt").unlink(missing_ok=True)
        (folder / "kubelet-client.crt").unlink(missing_ok=True)
    pki = Pki(
        authority=authority,
        certificate=folder / "server.crt",
        key=folder / "server.key",
        signer=folder / "tokens.key",
        admin_token=folder / "admin.token",
        client=folder / "kubelet-client.crt",
        client_key=folder / "kubelet-client.key",
    )
    if not _good(pki.certificate, pki.key, address):
        _serve(pki, authority_key, address)
    if not _fresh(pki.client, pki.client_key):
        issue(pki.client, pki.client_key, folder, "kube-apiserver-kubelet-client", (_MASTERS,))
    if not pki.signer.exists():
        write_private(pki.signer, _pem(ec.generate_private_key(ec.SECP256R1())))
    if not pki.admin_token.exists():
        write_private(pki.admin_token, secrets.token_urlsafe(32).encode("ascii"))
    return pki


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, years: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A clock that is set back a little must not make the certificate one of the future.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * years))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # Every installation has its own name, so that clients with several never mix them up.
    name = _name(f"tinykube-ca-{secrets.token_hex(4)}")
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        _builder(name, name, public, _AUTHORITY_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _serve(pki: Pki, authority_key: Path, address: str) -> None:
    loaded = serialization.load_pem_private_key(authority_key.read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{authority_key} holds no elliptic-curve key")
    authority = x509.load_pem_x509_certificate(pki.authority.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(item)) for item in {"127.0.0.1", address}]
    certificate = (
        _builder(_name("tinykube"), authority.subject, key.public_key(), _SERVER_YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(loaded.public_key()),
            critical=False,
        )
        .sign(loaded, hashes.SHA256())
    )
    # The certificate last: with it in place both are whole.
    pki.certificate.unlink(missing_ok=True)
    write_private(pki.key, _pem(key))
    write_private(pki.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def issue(
    certificate: Path,
    key_file: Path,
    folder: Path,
    name: str,
    groups: Sequence[str] = (),
    hosts: Sequence[str] = (),
) -> None:
    """Have the authority in `folder` vouch for a client, or for a server with `hosts`.

    Args:
        certificate: the file to write.
        key_file: the file to write its private key to.
        folder: where the authority's certificate and key are.
        name: of the client.
        groups: of the client.
        hosts: names and addresses of the server.
    """
    authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder / 'ca.key'} holds no elliptic-curve key")
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(subject, authority.subject, key.public_key(), _SERVER_YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    made = builder.sign(authority_key, hashes.SHA256())
    # The certificate last: with it in place both are whole.
    certificate.unlink(missing_ok=True)
    write_private(key_file, _pem(key))
    write_private(certificate, made.public_bytes(serialization.Encoding.PEM))


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _fresh(certificate: Path, key: Path) -> bool:
    if not (certificate.exists() and key.exists()):
        return False
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.not_valid_after_utc - datetime.now(UTC) > _RENEW


def self_signed(folder: Path, name: str, address: str) -> tuple[Path, Path]:
    """A server's certificate that nobody vouches for, and its key; made anew in time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key_file = folder / "serving.crt", folder / "serving.key"
    if not _good(certificate, key_file, address):
        key = ec.generate_private_key(ec.SECP256R1())
        subject, public = _name(name), key.public_key()
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))]
        made = (
            _builder(subject, subject, public, _SERVER_YEARS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        certificate.unlink(missing_ok=True)
        write_private(key_file, _pem(key))
        write_private(certificate, made.public_bytes(serialization.Encoding.PEM))
    return certificate, key_file


def _good(certificate: Path, key: Path, address: str) -> bool:
    if not (certificate.exists() and key.exists()):
        return False
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = names.get_values_for_type(x509.IPAddress)
    return (
        ipaddress.ip_address(address) in known
        and found.not_valid_after_utc - datetime.now(UTC) > _RENEW
    )
