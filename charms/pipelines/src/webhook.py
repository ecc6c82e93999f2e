"""Who is told of runs that failed, as the options have it; no message shows the address."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

import ops

from toolkit_charm import Blocked, File, user_secrets

URL = "/etc/toolkit-pipelines/failure-webhook"
KEY = "/etc/toolkit-pipelines/failure-webhook-key"

_OPTION = "failure-webhook"
_KEY_OPTION = "failure-webhook-key"
_PREFIX = "whsec_"
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the workload is given.

    Attributes:
        files: those of the address and the key.
        settings: the settings that name them.
    """

    files: tuple[File, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


def load(charm: ops.CharmBase, url: str, secret_id: str) -> Webhook:
    """Give what the options say.

    Args:
        charm: the charm that the secret was granted to.
        url: the option `failure-webhook`.
        secret_id: the option `failure-webhook-key`.

    Raises:
        Blocked: an option cannot be used; it is named.
    """
    if not url:
        if secret_id:
            raise Blocked(f"config {_KEY_OPTION}: there is nothing to sign without {_OPTION}")
        return Webhook()
    _check(url)
    files = [File(URL, f"{url}\n", restart=True)]
    settings = [("failure_webhook_file", URL)]
    if secret_id:
        found = user_secrets.content(charm, _KEY_OPTION, secret_id, ["key"])
        files.append(File(KEY, f"{_checked_key(found['key'])}\n", restart=True))
        settings.append(("failure_webhook_key_file", KEY))
    return Webhook(tuple(files), tuple(settings))


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _LONGEST
    if not usable or not plain:
        raise Blocked(
            f"config {_OPTION}: write an http or https address such as "
            "https://hooks.example.com/pipelines, or nothing"
        )


def _checked_key(text: str) -> str:
    text = text.strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise Blocked(
            f"config {_KEY_OPTION}: its key must be {_PREFIX} and the Base64 of 24 to 64 bytes"
        )
    return text
