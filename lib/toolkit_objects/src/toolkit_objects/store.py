"""Artifacts in an object store that speaks S3.

The service alone has the store's credentials. Others get links: signed addresses for one object
and one way, that end by themselves; one to write by may hold for one content only, by its MD5. All
calls block, and may be made in any thread. Libraries are imported by whoever makes an
`ObjectStore`, since botocore takes 27 MiB.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from .locations import Location

log = logging.getLogger(__name__)

PART: Final = 64 * 1024 * 1024
"""Files with more bytes go in parts of this size."""
MAX_PARTS: Final = 10_000
"""The most parts that S3 takes for one object; they grow so that these are enough."""
LIFETIME: Final = 3600
"""Seconds that a link can be used."""
_CHUNK: Final = 256 * 1024
_SURROUNDINGS: Final[Mapping[str, Any]] = {
    "profile": None,
    "config_file": os.devnull,
    "credentials_file": os.devnull,
    "ignore_configured_endpoint_urls": True,
}
_READS: Final = 5
_PAUSE: Final = 0.2
_DELETED_AT_ONCE: Final = 1000
_KEYS: Final = ("access-key", "secret-key")
_TRANSIENT: Final = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)


class ObjectStoreError(Exception):
    """The store did not do what it was asked; the message says what, where, and the store's word.

    Attributes:
        transient: whether it may do so later.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True, slots=True)
class Listing:
    """What is right below a path.

    Attributes:
        folders: the names that have something below them.
        sizes: of the objects, by name.
    """

    folders: tuple[str, ...]
    sizes: Mapping[str, int]


class CredentialsError(ValueError):
    """The file of credentials cannot be used; nothing of it is in the message."""


def part_size(size: int) -> int:
    """Give the size of the parts of a file; 0 if it goes in one piece."""
    if size <= PART:
        return 0
    return PART * math.ceil(size / (PART * MAX_PARTS))


def credentials(path: Path) -> dict[str, str]:
    """Read a file of credentials: YAML with `access-key`, `secret-key`, maybe `session-token`.

    Raises:
        CredentialsError: it is none.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError):
        # The parser's own message quotes the file.
        raise CredentialsError(f"{path} is not YAML") from None
    known = {*_KEYS, "session-token"}
    if not isinstance(found, dict) or not all(
        name in known and isinstance(value, str) and value for name, value in found.items()
    ):
        raise CredentialsError(f"{path} must hold texts under {', '.join(sorted(known))} alone")
    for name in _KEYS:
        if name not in found:
            raise CredentialsError(f"{path} has no {name}")
    return found


class ObjectStore:
    """One place in one bucket.

    Args:
        location: where it is.
        keys: see `credentials`.
        certificates: a file of authorities to trust, or None for those that everyone knows.
        lifetime: see `LIFETIME`.
    """

    def __init__(
        self,
        location: Location,
        keys: Mapping[str, str],
        certificates: Path | None = None,
        *,
        lifetime: int = LIFETIME,
    ) -> None:
        import botocore.exceptions
        import botocore.session
        from botocore.config import Config

        self._errors = botocore.exceptions
        self.location = location
        self.certificates = certificates.read_text(encoding="ascii") if certificates else ""
        self._lifetime = lifetime
        session = botocore.session.Session()
        # Nothing of the process's surroundings: profiles, variables, the cloud's own credentials.
        for name, value in _SURROUNDINGS.items():
            session.get_component("config_store").set_config_variable(name, value)
        self._client = session.create_client(
            "s3",
            region_name=location.region,
            endpoint_url=location.endpoint or None,
            aws_access_key_id=keys["access-key"],
            aws_secret_access_key=keys["secret-key"],
            aws_session_token=keys.get("session-token"),
            verify=str(certificates) if certificates else None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 3},
                max_pool_connections=50,
                s3={"addressing_style": "path" if location.path_style else "virtual"},
                # Headers that older stores of other makers do not take.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    @classmethod
    def open(cls, location: str, keys: Path, certificates: Path | None) -> ObjectStore:
        """Make what speaks to a store by its settings.

        Args:
            location: see `Location.parse`.
            keys: the file of `credentials`.
            certificates: see the class.

        Raises:
            LocationError, CredentialsError: they are none.
            OSError: the authorities cannot be read.
        """
        return cls(Location.parse(location), credentials(keys), certificates)

    @property
    def uri(self) -> str:
        """What the artifacts' URIs begin with."""
        return self.location.uri

    def check(self) -> None:
        """See whether objects can be listed and written here; nothing is left behind.

        Raises:
            ObjectStoreError: they cannot.
        """
        with self._told("be listed"):
            self._client.list_objects_v2(**self._bucket(), Prefix=self.location.prefix, MaxKeys=1)
        probe = ".toolkit-probe"
        self.abort(probe, self.begin(probe))

    # -- links for steps

    def reading(self, below: str) -> str:
        """Give a link to read an object by."""
        return self._link("get_object", self._object(below))

    def writing(self, below: str, md5: str, sha256: str) -> tuple[str, dict[str, str]]:
        """Give a link to write an object by, and the headers to send with it.

        Args:
            below: where it goes.
            md5: of its content, in base64; the store takes no other.
            sha256: likewise, for stores that know it.
        """
        headers = {"Content-MD5": md5, "x-amz-checksum-sha256": sha256}
        asked = {**self._object(below), "ContentMD5": md5, "ChecksumSHA256": sha256}
        return self._link("put_object", asked), headers

    def writing_part(
        self, below: str, upload: str, number: int, md5: str = ""
    ) -> tuple[str, dict[str, str]]:
        """Give a link to write one part by, from 1 on, and the headers to send with it.

        Args:
            below: where the object goes.
            upload: what `begin` gave.
            number: the part's.
            md5: of its content, in base64; "" lets the link take any.
        """
        asked = {**self._object(below), "UploadId": upload, "PartNumber": number}
        if not md5:
            return self._link("upload_part", asked), {}
        return self._link("upload_part", {**asked, "ContentMD5": md5}), {"Content-MD5": md5}

    def _link(self, operation: str, asked: Mapping[str, Any]) -> str:
        found: str = self._client.generate_presigned_url(
            operation, Params=asked, ExpiresIn=self._lifetime
        )
        return found

    # -- objects in parts

    def begin(self, below: str) -> str:
        """Begin an object that comes in parts; give the id of the upload."""
        with self._told("be written to"):
            found: str = self._client.create_multipart_upload(**self._object(below))["UploadId"]
            return found

    def finish(self, below: str, upload: str, sizes: Iterable[int]) -> None:
        """Make an object of its parts.

        Args:
            below: where it is.
            upload: what `begin` gave.
            sizes: of the parts, all of which must be there.

        Raises:
            ObjectStoreError: they are not, or the store does not do it.
        """
        with self._told("be written to"):
            pages = self._client.get_paginator("list_parts").paginate(
                **self._object(below), UploadId=upload
            )
            parts = [part for page in pages for part in page.get("Parts", [])]
            if [part["Size"] for part in parts] != list(sizes):
                raise ObjectStoreError(
                    f"parts of {self.uri}/{below} have not come", transient=False
                )
            self.complete(below, upload, {part["PartNumber"]: part["ETag"] for part in parts})

    def complete(self, below: str, upload: str, parts: Mapping[int, str]) -> None:
        """Make an object of its parts, by number with the tag that the store gave for each."""
        listed = [{"PartNumber": number, "ETag": parts[number]} for number in sorted(parts)]
        with self._told("be written to"):
            self._client.complete_multipart_upload(
                **self._object(below), UploadId=upload, MultipartUpload={"Parts": listed}
            )

    def write_part(self, below: str, upload: str, number: int, content: bytes) -> str:
        """Write one part, from 1 on; give its tag."""
        with self._told("be written to"):
            found: str = self._client.upload_part(
                **self._object(below), UploadId=upload, PartNumber=number, Body=content
            )["ETag"]
            return found

    def abort(self, below: str, upload: str) -> None:
        """Drop an object that is coming in parts, if it still is."""
        with self._told("be written to"):
            try:
                self._client.abort_multipart_upload(**self._object(below), UploadId=upload)
            except self._errors.ClientError as error:
                if _code(error) not in ("NoSuchUpload", "404"):
                    raise

    # -- objects

    def sizes(self, below: str) -> dict[str, int]:
        """Give the sizes of all objects below a path, by path from the location."""
        prefix = self.location.key(f"{below}/")
        skipped = len(prefix) - len(below) - 1
        with self._told("be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                **self._bucket(), Prefix=prefix
            )
            return {
                each["Key"][skipped:]: each["Size"]
                for page in pages
                for each in page.get("Contents", [])
            }

    def listing(self, below: str) -> Listing:
        """Give what is right below a path; "" is the location itself."""
        prefix = self.location.key(f"{below}/" if below else "")
        with self._told("be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                **self._bucket(), Prefix=prefix, Delimiter="/"
            )
            folders: list[str] = []
            sizes: dict[str, int] = {}
            for page in pages:
                folders += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
                sizes |= {each["Key"]: each["Size"] for each in page.get("Contents", [])}
        skipped = len(prefix)
        return Listing(
            tuple(folder[skipped:].rstrip("/") for folder in folders),
            # An object of the folder's own name is what some tools make to show an empty folder.
            {key[skipped:]: size for key, size in sizes.items() if key != prefix},
        )

    def size(self, below: str) -> int | None:
        """Give the size of an object; None if there is none."""
        with self._told(f"give {below}"):
            try:
                return int(self._client.head_object(**self._object(below))["ContentLength"])
            except self._errors.ClientError as error:
                if _code(error) not in ("NoSuchKey", "NotFound", "404"):
                    raise
                return None

    def delete(self, below: str) -> None:
        """Delete one object, if there is one."""
        with self._told("be cleaned up"):
            self._client.delete_object(**self._object(below))

    def write(self, below: str, content: BinaryIO) -> None:
        """Write an object, in the place of one that is there."""
        with self._told("be written to"):
            self._client.put_object(**self._object(below), Body=content)

    def read(self, below: str, size: int) -> Iterator[bytes]:
        """Give an object's content in chunks; what is cut goes on where it was.

        Raises:
            ObjectStoreError: it cannot be read, or does not have that size.
        """
        done = tries = 0
        while done < size:
            try:
                with self._told(f"give {below}"):
                    body = self._client.get_object(**self._object(below), Range=f"bytes={done}-")[
                        "Body"
                    ]
                    with contextlib.closing(body):
                        while chunk := body.read(_CHUNK):
                            done, tries = done + len(chunk), 0
                            if done > size:
                                raise ObjectStoreError(
                                    f"{self.uri}/{below} has more than {size} bytes",
                                    transient=False,
                                )
                            yield chunk
                    if done < size:
                        raise ObjectStoreError(
                            f"{self.uri}/{below} ended after {done} of {size} bytes",
                            transient=True,
                        )
            except ObjectStoreError as error:
                tries += 1
                if not error.transient or tries == _READS:
                    raise
                time.sleep(_PAUSE * 2**tries)

    def remove(self, below: str) -> None:
        """Delete all that is below a path, what is coming in parts as well."""
        with self._told("be cleaned up"):
            keys = [self.location.key(path) for path in self.sizes(below)]
            for first in range(0, len(keys), _DELETED_AT_ONCE):
                listed = [{"Key": key} for key in keys[first : first + _DELETED_AT_ONCE]]
                answer = self._client.delete_objects(
                    **self._bucket(), Delete={"Objects": listed, "Quiet": True}
                )
                for each in answer.get("Errors", []):
                    raise ObjectStoreError(
                        f"{self.location.bucket} does not delete {each.get('Key')}: "
                        f"{each.get('Code')}: {each.get('Message')}",
                        transient=each.get("Code") in _TRANSIENT,
                    )
            uploads = self._client.get_paginator("list_multipart_uploads").paginate(
                **self._bucket(), Prefix=self.location.key(f"{below}/")
            )
            for each in [each for page in uploads for each in page.get("Uploads", [])]:
                self._client.abort_multipart_upload(
                    **self._bucket(), Key=each["Key"], UploadId=each["UploadId"]
                )

    def _bucket(self) -> dict[str, Any]:
        return {"Bucket": self.location.bucket}

    def _object(self, below: str) -> dict[str, Any]:
        return {**self._bucket(), "Key": self.location.key(below)}

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn what the store or the network says into an ObjectStoreError."""
        where = f"the object store {self.uri}"
        if self.location.endpoint:
            where += f" at {self.location.endpoint}"
        try:
            yield
        except self._errors.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code, message = _code(error), error.response.get("Error", {}).get("Message", "")
            raise ObjectStoreError(
                f"{where} cannot {what}: {code}: {message}",
                transient=status >= 500 or status == 429 or code in _TRANSIENT,
            ) from error
        except self._errors.SSLError as error:
            raise ObjectStoreError(f"{where} is not trusted: {error}", transient=False) from error
        except (self._errors.BotoCoreError, OSError) as error:
            raise ObjectStoreError(f"{where} cannot {what}: {error}", transient=True) from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


class Writing:
    """An object that is written piece by piece; it is there once it is finished, and not before.

    Args:
        store: where.
        below: the object's path there.
    """

    def __init__(self, store: ObjectStore, below: str) -> None:
        self._store = store
        self._below = below
        self._upload = ""
        self._parts: dict[int, str] = {}

    def add(self, piece: bytes) -> None:
        """Write a piece that is not the last: 5 MiB or more, and all of one size."""
        if not self._upload:
            self._upload = self._store.begin(self._below)
        number = len(self._parts) + 1
        if number >= MAX_PARTS:
            raise ObjectStoreError(
                f"{self._store.uri}/{self._below} has more than {MAX_PARTS} parts of {len(piece)} "
                "bytes",
                transient=False,
            )
        self._parts[number] = self._store.write_part(self._below, self._upload, number, piece)

    def finish(self, rest: bytes) -> None:
        """Write what is left, of any size, and make the object of it all."""
        if not self._upload:
            self._store.write(self._below, io.BytesIO(rest))
            return
        if rest:
            number = len(self._parts) + 1
            self._parts[number] = self._store.write_part(self._below, self._upload, number, rest)
        self._store.complete(self._below, self._upload, self._parts)

    def abort(self) -> None:
        """Leave nothing of it behind."""
        if self._upload:
            self._store.abort(self._below, self._upload)
