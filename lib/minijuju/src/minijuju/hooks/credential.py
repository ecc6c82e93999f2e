"""credential-get: how a trusted charm reaches the cloud that its model lives on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijuju.hooks.context import CommandError, Context
from minijuju.hooks.output import render
from minijuju.hooks.parser import parse
from minijuju.models import CLOUD


def credential_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The cluster's address and authority, and a token that may do what the charm may do.

    The token is the application's own, which `trust` gives all rights; it is no administrator's.
    """
    arguments = parse(argv, {"format": "format"})
    arguments.at_most(0)
    refused = "cannot access cloud credentials"
    if not context.application().trust:
        raise CommandError(f"{refused}: permission denied")
    if context.access is None:
        raise CommandError(f"{refused}: this controller has no Kubernetes")
    try:
        token = (context.access.identity / "token").read_text()
        authority = (context.access.identity / "ca.crt").read_text()
    except OSError as error:
        raise CommandError(f"{refused}: {error.strerror}") from None
    cloud: dict[str, Any] = {
        "type": "kubernetes",
        "name": CLOUD,
        "endpoint": f"https://{context.access.host}:{context.access.port}",
        "credential": {"auth-type": "oauth2", "attrs": {"Token": token}},
        "cacertificates": [authority],
        "skip-tls-verify": False,
        "is-controller-cloud": True,
    }
    return render(cloud, arguments.get("format"))
