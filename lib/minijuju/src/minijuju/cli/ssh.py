"""`ssh` into a unit's container, and `scp` to and from it."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .session import Session
from .tasks import UNIT
from .verb import CommandError, Parser, UsageError, Verb

# Where a relative path of a unit begins: in the charm's container, and in a workload's.
_BASE = {"charm": PurePosixPath("/var/lib/juju")}
_WORKLOAD_BASE = PurePosixPath("/")
_PATIENCE = 3600


def _ssh_options(parser: Parser) -> None:
    parser.add_argument("--container", metavar="NAME", help="a workload's, not the charm's")
    _between(parser)
    parser.add_argument("--pty", nargs="?", const="true", help=argparse.SUPPRESS)


def _between(parser: Parser) -> None:
    """What says how to get there: the unit is on this machine, and no SSH is in between."""
    for option in ("--no-host-key-checks", "--proxy", "--remote"):
        parser.add_argument(option, action="store_true", help=argparse.SUPPRESS)


def expand(session: Session, model: str, units: list[str]) -> list[str]:
    """Unit names with `app/leader` replaced; units that are not there are said to be missing.

    As Juju does, a missing unit alone is no failure: it yields no result.
    """
    applications = session.call("status", model=model).get("applications") or {}
    found = []
    for unit in units:
        application, _, number = unit.partition("/")
        known = (applications.get(application) or {}).get("units") or {}
        if number == "leader":
            leaders = [name for name, body in known.items() if body.get("leader")]
            if leaders:
                found.append(leaders[0])
            else:
                session.say(f"could not determine leader for {application!r}")
        elif unit in known:
            found.append(unit)
        else:
            session.say(f'unit "{unit}" not found')
    return found


def ssh(session: Session, arguments: argparse.Namespace) -> int:
    """Run a command, or a shell, inside a unit's container."""
    words = [word for word in arguments.args if word != "--"] if arguments.args else []
    if not words:
        raise UsageError("no target name specified")
    target = words[0].rpartition("@")[2]
    command = arguments.args[arguments.args.index(words[0]) + 1 :]
    if command and command[0] == "--":
        command = command[1:]
    if command and command[0].startswith("-"):
        raise UsageError(
            f"{session.program} ssh: there is no SSH in between: option {command[0]} means nothing"
        )
    if not UNIT.fullmatch(target):
        raise CommandError(f'"{target}" is not a unit; on Kubernetes, name one such as metadata/0')
    model = session.model(arguments.model)
    found = expand(session, model, [target])
    if not found:
        raise CommandError(f'unit "{target}" not found')
    # Words are joined by spaces for the shell on the other side, as ssh does.
    shell = ["/bin/sh", "-c", " ".join(command)] if command else []
    argv, environment = place(session, model, found[0], arguments.container, shell)
    session.stdout.flush()
    session.stderr.flush()
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - a list from our own controller


def place(
    session: Session, model: str, unit: str, container: str | None, command: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The argument list and environment that run a command in a unit's container."""
    found: Any = session.call(
        "ssh", model=model, unit=unit, container=container, command=list(command)
    )
    argv = [str(word) for word in found["argv"]]
    environment = {str(key): str(value) for key, value in (found.get("env") or {}).items()}
    return argv, {**os.environ, **environment}


# scp: a tar stream through the same way in, so that folders and modes come along.


@dataclass(frozen=True)
class _End:
    """One side of a copy; without a unit it is here."""

    unit: str
    path: str


def scp(session: Session, arguments: argparse.Namespace) -> int:
    """Copy files to or from a unit."""
    words = [word for word in arguments.args if word != "--"]
    recursive = arguments.recursive
    while words and words[0].startswith("-"):
        # Options for scp itself, which jubilant hands on: only these mean something here.
        if words[0] not in ("-r", "-p", "-q", "-C"):
            raise UsageError(f"{session.program} scp: there is no SSH: {words[0]} means nothing")
        recursive = recursive or words[0] == "-r"
        words.pop(0)
    if len(words) < 2:
        raise UsageError("at least two arguments required")
    *sources, target = (_end(word) for word in words)
    if not target.unit and not any(source.unit for source in sources):
        raise UsageError("one side must be a unit, such as metadata/0:file")
    if target.unit and any(source.unit for source in sources):
        raise UsageError("copying from one unit to another is not possible; copy twice")
    model = session.model(arguments.model)
    for source in sources:
        copy = _Copy(session, model, arguments.container, recursive=recursive)
        if target.unit:
            copy.up(source.path, target)
        elif source.unit:
            copy.down(source, target.path)
        else:
            raise UsageError(f"{source.path} is not on a unit")
    return 0


def _end(word: str) -> _End:
    unit, separator, path = word.partition(":")
    target = unit.rpartition("@")[2]
    if separator and UNIT.fullmatch(target):
        return _End(target, path)
    return _End("", word)


@dataclass
class _Copy:
    session: Session
    model: str
    container: str | None
    recursive: bool

    def up(self, source: str, target: _End) -> None:
        path = Path(source)
        if path.is_dir() and not self.recursive:
            raise CommandError(f"{source} is a folder; say -r to copy it")
        if not path.exists():
            raise CommandError(f"{source}: no such file")
        wanted = self.path(target.path)
        inside = target.path.endswith("/") or target.path == "" or self.is_folder(target, wanted)
        parent = wanted if inside else wanted.parent
        name = path.resolve().name if inside else wanted.name
        argv, env = self.command(target.unit, f"tar -xmof - -C {shlex.quote(str(parent))}")
        with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE) as process:
            self.write(process.stdin, path, name)
        self.check(process.returncode, f"{target.unit}:{target.path}")

    @staticmethod
    def write(pipe: IO[bytes] | None, path: Path, name: str) -> None:
        if pipe is None:
            raise CommandError("no way to the unit")
        try:
            with pipe, tarfile.open(fileobj=pipe, mode="w|", dereference=True) as archive:
                archive.add(path, name)
        except BrokenPipeError:
            # tar over there has said why it ended.
            return

    def down(self, source: _End, target: str) -> None:
        wanted = self.path(source.path)
        if not self.recursive and self.is_folder(source, wanted):
            raise CommandError(f"{source.unit}:{source.path} is a folder; say -r to copy it")
        quoted = shlex.quote(str(wanted.parent)), shlex.quote(wanted.name)
        argv, env = self.command(source.unit, f"tar -chf - -C {quoted[0]} -- {quoted[1]}")
        here = Path(target)
        folder, name = (here, wanted.name) if here.is_dir() else (here.parent, here.name)
        with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as process:
            self.read(process.stdout, folder, wanted.name, name)
        self.check(process.returncode, f"{source.unit}:{source.path}")

    @staticmethod
    def read(pipe: IO[bytes] | None, folder: Path, there: str, name: str) -> None:
        if pipe is None:
            raise CommandError("no way to the unit")
        try:
            with pipe, tarfile.open(fileobj=pipe, mode="r|") as archive:
                for member in archive:
                    _unpack(archive, member, folder / name)
        except tarfile.ReadError:
            # Nothing came; tar over there has said why.
            return
        except tarfile.TarError as error:
            raise CommandError(f"cannot copy {there}: {error}") from None

    def path(self, text: str) -> PurePosixPath:
        base = _BASE.get(self.container or "charm", _WORKLOAD_BASE)
        return base / text

    def is_folder(self, end: _End, path: PurePosixPath) -> bool:
        argv, env = self.command(end.unit, f"test -d {shlex.quote(str(path))}")
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, check=False, timeout=_PATIENCE
        )
        return done.returncode == 0

    def command(self, target: str, line: str) -> tuple[list[str], dict[str, str]]:
        found = expand(self.session, self.model, [target])
        if not found:
            raise CommandError(f'unit "{target}" not found')
        return place(self.session, self.model, found[0], self.container, ["/bin/sh", "-c", line])

    @staticmethod
    def check(code: int, what: str) -> None:
        if code:
            raise CommandError(f"cannot copy {what}: exit status {code}")


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one file or folder of a stream below `target`.

    What comes out of a container is not trusted: nothing but files and folders, nothing outside.
    """
    parts = PurePosixPath(member.name).parts[1:]
    if ".." in parts or not (member.isdir() or member.isfile()):
        raise CommandError(f"{member.name!r} is neither a file nor a folder: copying ends here")
    path = target.joinpath(*parts)
    if member.isdir():
        path.mkdir(exist_ok=True)
        return
    content = archive.extractfile(member)
    if content is None:
        raise CommandError(f"{member.name!r} cannot be read")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(member.mode & 0o777 | 0o600)


def _scp_options(parser: Parser) -> None:
    parser.add_argument("--container", metavar="NAME", help="a workload's, not the charm's")
    parser.add_argument("-r", dest="recursive", action="store_true", help="copy folders too")
    _between(parser)


VERBS = (
    Verb(
        name="ssh",
        arguments="<unit> [<command> ...]",
        summary="Run a command or a shell inside a unit's charm or workload container.",
        example=("ssh --container metadata metadata/0 ps aux",),
        run=ssh,
        options=_ssh_options,
        maximum=None,
        passthrough=True,
    ),
    Verb(
        name="scp",
        arguments="<source> ... <target>",
        summary="Copy files to or from a unit's charm or workload container.",
        details=(
            "A unit's side is written unit:path. A relative path begins at /var/lib/juju in the\n"
            "charm's container and at / in a workload's. Words after -- may hold scp's -r."
        ),
        example=("scp -r metadata/0:agents ./", "scp --container metadata ./a metadata/0:/tmp/a"),
        run=scp,
        options=_scp_options,
        maximum=None,
    ),
)
