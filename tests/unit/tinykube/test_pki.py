import ssl
import stat

from cryptography import x509

from tinykube import pki


def test_keys_are_private_and_stay(tmp_path):
    made = pki.prepare(tmp_path / "pki", "127.0.0.1")
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    before = {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    for path in (tmp_path / "pki").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(made.admin_token.read_text()) >= 40
    pki.prepare(tmp_path / "pki", "127.0.0.1")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}


def test_the_certificate_is_for_the_address_and_for_servers(tmp_path):
    made = pki.prepare(tmp_path / "pki", "127.0.0.2")
    found = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "127.0.0.2" in [str(item) for item in names.get_values_for_type(x509.IPAddress)]
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    found.verify_directly_issued_by(authority)
    context = ssl.create_default_context(cafile=str(made.authority))
    assert context.cert_store_stats()["x509_ca"] == 1


def test_another_address_gets_another_certificate(tmp_path):
    made = pki.prepare(tmp_path / "pki", "127.0.0.1")
    before = (made.certificate.read_bytes(), made.authority.read_bytes())
    pki.prepare(tmp_path / "pki", "127.0.0.3")
    assert made.certificate.read_bytes() != before[0]
    assert made.authority.read_bytes() == before[1]


def test_a_cut_off_creation_is_finished(tmp_path):
    made = pki.prepare(tmp_path / "pki", "127.0.0.1")
    made.certificate.unlink()
    (tmp_path / "pki" / "server.key.part").write_bytes(b"half")
    pki.prepare(tmp_path / "pki", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
