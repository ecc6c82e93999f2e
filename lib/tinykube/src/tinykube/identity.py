"""Who a client certificate names: the common name is the user, the organisations its groups."""

from __future__ import annotations

import functools
import hashlib

from cryptography import x509
from cryptography.x509.oid import NameOID

from tinykube.rbac import AUTHENTICATED, Caller


@functools.lru_cache(maxsize=256)
def of_certificate(der: bytes) -> Caller:
    """The user of a certificate that the handshake has verified; its name may be empty."""
    subject = x509.load_der_x509_certificate(der).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    digest = hashlib.sha256(der).hexdigest()
    return Caller(
        str(names[0].value) if names else "",
        (*(str(group.value) for group in groups), AUTHENTICATED),
        extra=(("authentication.kubernetes.io/credential-id", (f"X509SHA256={digest}",)),),
    )
