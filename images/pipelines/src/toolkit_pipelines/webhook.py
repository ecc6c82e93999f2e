"""Runs that failed, told to an address of the operator's: a webhook.

The message is that of Standard Webhooks 1.0 (standardwebhooks.com): a POST of JSON with `type`,
`timestamp` and `data`; the headers `webhook-id`, the same for each try, so that the receiver knows
a message that it had already, `webhook-timestamp`, and, if there is a key, `webhook-signature`.

What is to be told is put in the outbox by the transaction that records the run's end (`record`)
and delivered afterwards (`Webhook`), however often it takes within a day. The address is a secret,
since many receivers know who calls by it alone: no message shows more of it than the host.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from . import events, timestamps
from .delivery import Delivery, UnreachableError
from .events import Event, RunPhase
from .outgoing import FAILURES, Session, body, why
from .store.interface import EventStore, NotFoundError, OutboxEntry, OutboxRecord, Recipient

log = logging.getLogger(__name__)

GIVE_UP: Final = 24 * 3600.0
"""Seconds after a run's end after which a try that fails is the last."""
_BACKOFF: Final = (1.0, 600.0)
_TIMEOUT: Final = 20.0
_MAX_URL: Final = 2000
_MAX_ERROR: Final = 2000
_KEY_PREFIX: Final = "whsec_"


class WebhookError(ValueError):
    """The address or the key cannot be used; the message shows neither."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who is told.

    Attributes:
        url: the address; a user and a password in it are sent as Basic authentication.
        key: what messages are signed by; b"" to sign none.
    """

    url: str = field(repr=False)
    key: bytes = field(default=b"", repr=False)

    @property
    def shown(self) -> str:
        """The address as far as it may be shown."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}"


def endpoint(url_file: Path, key_file: Path | None = None) -> Endpoint:
    """Read who is told.

    Args:
        url_file: the file of the address, one line.
        key_file: the file of the key, one line, as Standard Webhooks writes it: `whsec_` and the
            Base64 of 24 to 64 bytes. None to sign nothing.

    Raises:
        WebhookError: a file cannot be read, or what it holds cannot be used.
    """
    url = _line(url_file, "failure_webhook_file")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and parts.port != 0 and bool(URL(url).host)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or " " in url or len(url) > _MAX_URL:
        raise WebhookError(
            f"failure_webhook_file: {url_file} must hold one http or https address of at most "
            f"{_MAX_URL} characters"
        )
    return Endpoint(url, _key(key_file) if key_file is not None else b"")


def _line(path: Path, setting: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WebhookError(f"{setting}: {path} cannot be read: {error}") from error
    if not text.isprintable():
        raise WebhookError(f"{setting}: {path} must hold one line of text")
    return text


def _key(path: Path) -> bytes:
    text = _line(path, "failure_webhook_key_file")
    try:
        key = base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_KEY_PREFIX) or not 24 <= len(key) <= 64:
        raise WebhookError(
            f"failure_webhook_key_file: {path} must hold {_KEY_PREFIX} and the Base64 of 24 to 64 "
            "bytes"
        )
    return key


def _parted(url: str) -> tuple[URL, dict[str, str]]:
    """Give an address without user and password, and the header that these make."""
    parts = urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    # What cannot be sent as it stands is quoted, and nothing that is quoted is touched.
    plain = quote(urlunsplit(parts._replace(netloc=host)), safe="%/:?#[]@!$&'()*+,;=")
    if not at:
        return URL(plain, encoded=True), {}
    user, _, password = credentials.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return (
        URL(plain, encoded=True),
        {"authorization": f"Basic {base64.b64encode(pair).decode()}"},
    )


def record(appended: Sequence[Event]) -> list[OutboxRecord]:
    """Give the records of newly appended events; pure, called inside their transaction."""
    return [
        OutboxRecord(
            key=f"webhook/{event.run_id}/{event.sequence}",
            run_id=event.run_id,
            body={"sequence": event.sequence, "time": event.time, "message": event.message},
            recipient=Recipient.WEBHOOK,
        )
        for event in appended
        if isinstance(event, events.RunEnded) and event.phase is RunPhase.FAILED
    ]


class Webhook(Delivery):
    """Delivers what the outbox has for the webhook.

    Args:
        store: where the records wait.
        to: who is told.
        url: where clients reach this service, for the link to the run; "" for no link.
        backoff: seconds until the first further try, and the most between two.
        timeout: seconds that the receiver has to answer.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: EventStore,
        to: Endpoint,
        url: str = "",
        *,
        backoff: tuple[float, float] = _BACKOFF,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store, Recipient.WEBHOOK, backoff)
        self._to = to
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._clock = clock
        # The whole of a try is bounded where it is made.
        self._http = Session(aiohttp.ClientTimeout())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def deliver(self, entry: OutboxEntry) -> str:
        """Tell of one run; see `Delivery.deliver`."""
        try:
            await self._post(entry.record)
        except UnreachableError as error:
            if self._clock() - entry.created < GIVE_UP:
                raise
            log.error(
                "%s is not told that run %s failed, as it was tried for a day: %s",
                self._to.shown,
                entry.record.run_id,
                error,
            )
        return ""

    async def _post(self, waiting: OutboxRecord) -> None:
        message_id = f"{waiting.run_id}-{waiting.body['sequence']}"
        moment = str(int(self._clock()))
        message = await asyncio.to_thread(self._message, waiting)
        content = json.dumps(message, separators=(",", ":")).encode()
        address, credentials = _parted(self._to.url)
        headers = {
            **credentials,
            "content-type": "application/json",
            "user-agent": "toolkit-pipelines",
            "webhook-id": message_id,
            "webhook-timestamp": moment,
        }
        if self._to.key:
            signed = f"{message_id}.{moment}.".encode() + content
            digest = hmac.digest(self._to.key, signed, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        try:
            async with (
                asyncio.timeout(self._timeout),
                # What the answer holds is of no interest, and is not read.
                self._http.get().post(
                    address,
                    data=body(content),
                    headers=headers,
                    # It would send what is told, and the key's signature, to who knows where.
                    allow_redirects=False,
                ) as answer,
            ):
                status = answer.status
        except TimeoutError as error:
            raise UnreachableError(
                f"{self._to.shown} does not answer within {self._timeout:g} s"
            ) from error
        except FAILURES as error:
            raise UnreachableError(f"{self._to.shown} does not answer: {why(error)}") from error
        if not 200 <= status < 300:
            more = ", a redirect, which is not followed" if 300 <= status < 400 else ""
            raise UnreachableError(f"{self._to.shown} answers with {status}{more}")
        log.debug("%s was told that run %s failed", self._to.shown, waiting.run_id)

    def _message(self, waiting: OutboxRecord) -> dict[str, object]:
        ended = timestamps.format(waiting.body["time"])
        data = {
            "run_id": waiting.run_id,
            "state": RunPhase.FAILED.value,
            "error": waiting.body["message"][:_MAX_ERROR],
            "finished_at": ended,
        }
        try:
            run, (created, *_) = self._store.since(waiting.run_id, 0, 1)
        except (NotFoundError, ValueError) as error:
            # It was deleted, or is damaged: that it failed is told all the same.
            log.warning("of run %s its failure alone is told: %s", waiting.run_id, error)
        else:
            data |= {"name": run.display_name, "experiment_id": run.experiment_id}
            if isinstance(created, events.RunCreated):
                data |= {
                    "experiment": created.experiment_name,
                    "pipeline": created.pipeline_name,
                }
            if self._url:
                data["link"] = f"{self._url}/apis/v2beta1/runs/{waiting.run_id}"
        return {"type": "run.failed", "timestamp": ended, "data": data}
