"""Tokens: the administrator's, and those of service accounts (JWT, ES256)."""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tinykube import kinds, objects
from tinykube.objects import JSON
from tinykube.rbac import AUTHENTICATED, MASTERS, Caller, account_caller
from tinykube.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
# What the API takes as being meant for itself; the last is what older clients ask for.
AUDIENCES = (ISSUER, "https://kubernetes.default.svc", "api")
LONGEST = 365 * 24 * 3600
SHORTEST = 600
_ADMIN = Caller("kubernetes-admin", (MASTERS, AUTHENTICATED))
_REMEMBERED = 256
_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and when it ends."""

    token: str
    expires: datetime


class Tokens:
    """Issues and verifies tokens.

    Args:
        store: where the accounts are: a token is void once its account (or the pod it is bound
            to) is deleted.
        signer: the file of the private key.
        admin: the file of the administrator's token.
    """

    def __init__(self, store: Store, signer: Path, admin: Path) -> None:
        self._store = store
        key = serialization.load_pem_private_key(signer.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{signer} holds no elliptic-curve key")
        self._key = key
        self._public = key.public_key()
        self._admin = _digest(admin.read_text(encoding="ascii").strip())
        # Signatures that were good, by the token's digest: verifying takes longer than the rest.
        self._verified: OrderedDict[bytes, JSON] = OrderedDict()

    def issue(
        self,
        account: JSON,
        audiences: Sequence[str],
        seconds: int,
        bound: JSON | None = None,
    ) -> Issued:
        """A token of a service account, bound to a pod if one is given."""
        now = int(time.time())
        ends = now + min(seconds, LONGEST)
        namespace, name = objects.namespace(account), objects.name(account)
        about: JSON = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": objects.uid(account)},
        }
        if bound is not None:
            about["pod"] = {"name": objects.name(bound), "uid": objects.uid(bound)}
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": list(audiences) or [ISSUER],
            "iat": now,
            "nbf": now,
            "exp": ends,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": about,
        }
        token = jwt.encode(claims, self._key, algorithm="ES256")
        return Issued(token, datetime.fromtimestamp(ends, UTC))

    def authenticate(self, token: str) -> Caller | None:
        """Whose token it is; None if it is nobody's, or no longer good."""
        if not token or not token.isascii() or len(token) > _LENGTH:
            return None
        digest = _digest(token)
        if hmac.compare_digest(digest, self._admin):
            return _ADMIN
        claims = self._verified.get(digest) or self._verify(token, digest)
        if claims is None or claims["exp"] <= time.time():
            return None
        return self._account(claims)

    def review(self, token: str, audiences: Sequence[str]) -> tuple[Caller, list[str]] | None:
        """Whose token it is and for which of `audiences` (the API's own, if none) it is good.

        None if it is nobody's, no longer good, or for none of them.
        """
        if not audiences or set(audiences) & set(AUDIENCES):
            # The administrator's token is for the API.
            caller = self.authenticate(token)
            if caller is not None:
                return caller, [item for item in audiences if item in AUDIENCES] or [ISSUER]
        if not audiences or not token.isascii() or len(token) > _LENGTH:
            return None
        claims = self._decode(token, audiences)
        caller = None if claims is None else self._account(claims)
        if claims is None or caller is None:
            return None
        named = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        return caller, [item for item in audiences if item in named]

    def _decode(self, token: str, audiences: Sequence[str]) -> JSON | None:
        try:
            claims: JSON = jwt.decode(
                token,
                self._public,
                algorithms=["ES256"],
                audience=list(audiences),
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.InvalidTokenError:
            return None
        return claims

    def _verify(self, token: str, digest: bytes) -> JSON | None:
        claims = self._decode(token, AUDIENCES)
        if claims is None:
            return None
        self._verified[digest] = claims
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return claims

    def _account(self, claims: JSON) -> Caller | None:
        about = claims.get("kubernetes.io")
        if not isinstance(about, dict):
            return None
        namespace, account = about["namespace"], about["serviceaccount"]
        found = self._store.load(kinds.SERVICE_ACCOUNTS.key, namespace, account["name"])
        if found is None or objects.uid(found) != account["uid"]:
            return None
        pod = about.get("pod")
        if pod is not None and self._store.by_uid(pod["uid"]) is None:
            return None
        extra = [("credential-id", f"JTI={claims.get('jti', '')}")]
        if pod is not None:
            extra += [("pod-name", pod["name"]), ("pod-uid", pod["uid"])]
        values = tuple((f"authentication.kubernetes.io/{key}", (text,)) for key, text in extra)
        return account_caller(namespace, account["name"], account["uid"], values)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
