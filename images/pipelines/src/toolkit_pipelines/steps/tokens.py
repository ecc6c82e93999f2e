"""The tokens of steps: each stands for one attempt and is signed, so that none has to be kept."""

from __future__ import annotations

import hmac
from typing import Final

_PURPOSE: Final = b"step-token:"


class StepTokens:
    """Makes and checks tokens of the form `RUN.POD.SIGNATURE`.

    Args:
        key: signs the tokens; kept with the runs, so that they outlive this process.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, run_id: str, pod: str) -> str:
        """Give the token of an attempt; the same each time."""
        caller = f"{run_id}.{pod}"
        return f"{caller}.{self._sign(caller)}"

    def verify(self, secret: str) -> str | None:
        """Give `RUN.POD` if the token is one of ours, or None."""
        caller, dot, signature = secret.rpartition(".")
        if not dot or not secret.isascii():
            return None
        return caller if hmac.compare_digest(signature, self._sign(caller)) else None

    def _sign(self, caller: str) -> str:
        return hmac.digest(self._key, _PURPOSE + caller.encode(), "sha256").hex()
