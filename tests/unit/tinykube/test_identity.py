from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tinykube import identity, pki


def der(path):
    found = x509.load_pem_x509_certificate(path.read_bytes())
    return found.public_bytes(serialization.Encoding.DER)


def test_the_common_name_is_the_user_and_organisations_are_groups(keys, tmp_path):
    files = tmp_path / "c.crt", tmp_path / "c.key"
    pki.issue(*files, keys.authority.parent, "system:node:a", ("system:nodes", "x"))
    caller = identity.of_certificate(der(files[0]))
    assert caller.name == "system:node:a"
    assert caller.groups == ("system:nodes", "x", "system:authenticated")


def test_what_the_api_server_shows_to_nodes(keys):
    caller = identity.of_certificate(der(keys.client))
    assert caller.name == "kube-apiserver-kubelet-client"
    assert "system:masters" in caller.groups
