from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from toolkit_pipelines import packages
from toolkit_pipelines.spec import SpecError

LIMIT = 1000


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return buffer.getvalue()


def tarred(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_a_plain_document() -> None:
    assert packages.document(b"a: 1", LIMIT) == b"a: 1"


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_archives(packed: object) -> None:
    assert callable(packed)
    assert packages.document(packed(a_yaml=b"a: 1"), LIMIT) == b"a: 1"
    assert packages.document(packed(x_yaml=b"x", d__pipeline_yaml=b"a: 1"), LIMIT) == b"a: 1"
    for wrong, said in (
        ({}, "0 YAML files"),
        ({"a_txt": b""}, "0 YAML files"),
        ({"a_yaml": b"", "b_yaml": b""}, "2 YAML files"),
        ({"a_yaml": b"x" * (LIMIT + 1)}, "more than"),
    ):
        with pytest.raises(SpecError, match=said):
            packages.document(packed(**wrong), LIMIT)


def test_too_large() -> None:
    with pytest.raises(SpecError, match="1001 bytes"):
        packages.document(b"x" * (LIMIT + 1), LIMIT)


def test_bombs() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    with pytest.raises(SpecError, match="more than"):
        packages.document(bomb, LIMIT)
    with pytest.raises(SpecError, match="more than"):
        packages.document(zipped(a_yaml=bytes(10_000_000)), LIMIT)


def test_many_members() -> None:
    names = {f"a{number}_txt": b"" for number in range(1100)}
    for packed in (zipped(**names), tarred(**names)):
        with pytest.raises(SpecError, match=r"files|unpacks"):
            packages.document(packed, 10_000_000)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04rubbish", b"\x1f\x8brubbish", gzip.compress(b"no tar"), tarred(a_yaml=b"x")[:60]],
    # The compressed ones hold the time: as names they would differ from worker to worker.
    ids=["zip", "gzip", "no-tar", "cut-tar"],
)
def test_damaged(content: bytes) -> None:
    with pytest.raises(SpecError):
        packages.document(content, LIMIT)


def test_a_link_in_a_tar_file_is_no_document() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("pipeline.yaml")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(SpecError, match="0 YAML files"):
        packages.document(buffer.getvalue(), LIMIT)


def test_an_encrypted_zip_file_is_refused() -> None:
    content = bytearray(zipped(a_yaml=b"a: 1"))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SpecError, match="zip"):
        packages.document(bytes(content), LIMIT)
