"""The file of a backup: what is written is read, and nothing else is."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

import pytest

from toolkit_pipelines import archive
from toolkit_pipelines.archive import About, ArchiveError, Item, Reader, Writer

ABOUT = About("0.1.0", "0004", "pipelines", 1.5, 1, 0, "", 0)


def written(contents: dict[str, bytes], about: About = ABOUT) -> bytes:
    file = io.BytesIO()
    writer = Writer(file)
    items = [Item("p", 0o700, 5, folder=True)]
    for path, content in contents.items():
        size, digest = writer.add(archive.FILES, [content])
        items.append(Item(path, 0o600, 7, size=size, sha256=digest))
    writer.add(archive.DATABASE, [b"rows", b" and rows"])
    writer.close(about, items)
    return file.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """Read all of it."""
    reader = Reader(io.BytesIO(data))
    b"".join(reader.content(reader.database))
    return {item.path: b"".join(content) for item, content in reader.items()}


CONTENTS = {"p/a": b"a" * 1000, "p/b": b"", "p/" + "long/" * 300 + "c": bytes(512)}


def test_what_is_written_is_read() -> None:
    data = written(CONTENTS)
    reader = Reader(io.BytesIO(data))
    assert reader.about == ABOUT
    assert reader.total == 1512
    assert b"".join(reader.content(reader.database)) == b"rows and rows"
    assert read(data) == {"p": b"", **CONTENTS}
    assert [item.time for item, _ in reader.items()] == [5, 7, 7, 7]


def test_it_is_a_tar_file_whose_members_are_named_by_what_they_hold() -> None:
    with tarfile.open(fileobj=io.BytesIO(written(CONTENTS))) as file:
        for member in file:
            content = file.extractfile(member)
            assert content is not None
            digest = hashlib.sha256(content.read()).hexdigest()
            assert member.name.partition("/")[2] == digest
            assert member.mode == 0o600


def test_no_damaged_byte_changes_what_is_read() -> None:
    data = written({"p/a": b"abc"})
    wanted, noticed = read(data), 0
    for position in range(0, len(data), 11):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        try:
            # What only pads may be anything.
            assert read(bytes(damaged)) == wanted
        except ArchiveError:
            noticed += 1
    assert noticed > 200


def test_every_cut_is_found() -> None:
    data = written({"p/a": b"abc"})
    for length in range(0, len(data), 37):
        with pytest.raises(ArchiveError):
            read(data[:length])
    with pytest.raises(ArchiveError, match="is not that of a backup"):
        read(data + b"x")


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    for info, content in members:
        made.write(info.tobuf(tarfile.GNU_FORMAT))
        made.write(content + bytes(-len(content) % 512))
    return made.getvalue() + bytes(1024)


def info(name: str, content: bytes = b"", **values: Any) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for key, value in values.items():
        setattr(made, key, value)
    return made, content


EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "member",
    [
        info("../../etc/passwd", b"x"),
        info("/etc/passwd", b"x"),
        info(f"files/{EMPTY}/../x", b"x"),
        info(f"files/{EMPTY}", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info(f"files/{EMPTY}", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        info(f"files/{EMPTY}", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        info(f"files/{EMPTY}", type=tarfile.BLKTYPE, devmajor=8),
        info(f"files/{EMPTY}", type=tarfile.FIFOTYPE),
        info(f"files/{EMPTY}", type=tarfile.DIRTYPE),
        info(f"files/{EMPTY}", type=tarfile.GNUTYPE_SPARSE),
        info("pax", b"30 path=../../etc/passwd\n", type=tarfile.XHDTYPE),
        info("pax", b"30 path=../../etc/passwd\n", type=tarfile.XGLTYPE),
        info("././@LongLink", b"../x\0", type=tarfile.GNUTYPE_LONGNAME),
        info(f"files/{EMPTY}", b"x" * 10, size=1 << 62),
    ],
    ids=lambda member: f"{member[0].name[:20]}-{member[0].type!r}",
)
def test_no_other_member_is_taken(member: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(ArchiveError, match=r"is none of a backup|is cut off"):
        read(tar(member))


def with_manifest(*lines: object, files: tuple[bytes, ...] = ()) -> bytes:
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    members = [info(f"files/{hashlib.sha256(each).hexdigest()}", each) for each in files]
    members.append(info(f"database/{EMPTY}"))
    members.append(info(f"manifest/{hashlib.sha256(content).hexdigest()}", content))
    return tar(*members)


def about(**changed: Any) -> dict[str, Any]:
    names = ("version", "revision", "name", "created", "runs", "recurring_runs", "artifact_store")
    values = {name: getattr(ABOUT, name) for name in (*names, "left_out", "format")}
    return {**values, **changed}


def item(path: Any, content: bytes = b"x", **changed: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    made = {"path": path, "mode": 0o600, "time": 1, "folder": False}
    return {**made, "size": len(content), "sha256": digest, **changed}


def test_the_manifest_of_these_tests_is_taken() -> None:
    assert read(with_manifest(about(), item("a/b"), files=(b"x",))) == {"a/b": b"x"}


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "../x"},
        {"path": "/etc/passwd"},
        {"path": "a/../b"},
        {"path": "a//b"},
        {"path": "a/b\0"},
        {"path": "a/" + "b" * 300},
        {"path": 7},
        {"path": None},
        {"mode": 0o4755},
        {"mode": -1},
        {"mode": "600"},
        {"time": -1},
        {"time": 1 << 70},
        {"time": 1.5},
        {"size": -1},
        {"size": 2},
        {"size": True},
        {"sha256": "0" * 64},
        {"sha256": ""},
        {"sha256": None},
        {"folder": 1},
        {"folder": True},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_manifest_that_lies_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError, match="manifest"):
        read(with_manifest(about(), item("a/b") | changed, files=(b"x",)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "does not begin as that of a backup"),
        (([],), "begins with no object"),
        ((about(created="yesterday"),), "does not begin as that of a backup"),
        ((about(created=1e300),), "does not begin as that of a backup"),
        ((about(version=None),), "does not begin as that of a backup"),
        ((about(more=1),), "does not begin as that of a backup"),
        ((about(),), "it has 1 files, and its manifest tells of 0"),
        ((about(), item("a"), item("b")), "it has 1 files, and its manifest tells of 2"),
        ((about(format=2, version="9.1"),), r"format 2, written by version 9\.1; .* up to 1"),
    ],
)
def test_a_manifest_that_is_none_is_refused(lines: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        read(with_manifest(*lines, files=(b"x",)))


def test_a_line_without_end_is_not_read_into_memory() -> None:
    content = json.dumps(about()).encode() + b"\n" + b"[" * 10_000_000
    data = tar(
        info(f"database/{EMPTY}"),
        info(f"manifest/{hashlib.sha256(content).hexdigest()}", content),
    )
    with pytest.raises(ArchiveError, match="does not end"):
        read(data)


def test_nesting_without_end() -> None:
    content = json.dumps(about()).encode() + b"\n" + b"[" * 60_000 + b"\n"
    data = tar(
        info(f"database/{EMPTY}"),
        info(f"manifest/{hashlib.sha256(content).hexdigest()}", content),
    )
    with pytest.raises(ArchiveError, match="is not JSON"):
        read(data)


def test_something_else_entirely() -> None:
    for data in (b"", b"PK\3\4" + bytes(2000), b"\x1f\x8b" + bytes(600), bytes(1024)):
        with pytest.raises(ArchiveError):
            read(data)
