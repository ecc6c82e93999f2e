"""Kubernetes' own programs, built once: the control plane, kwok and Kueue.

No package index carries them ready-made. `go/NAME/` pins each by go.mod and go.sum; the result is
kept in the store (`$SANDBOX_STORE/tools`, else `~/.cache/sandbox/tools`) by the hash of the
module's files. Cold, on two cores: 17 minutes for the control plane, 2 for kwok, 8 for Kueue.

    python -m tests.kubernetes.programs            # build what is missing
    python -m tests.kubernetes.programs --check    # exit code 1 if something is missing
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minijuju import golang
from sandbox.images import store_root

MODULES = Path(__file__).parent / "go"
VERSION = "v1.37.2"
"""The version of Kubernetes; go/controlplane/go.mod has the same."""

_COMPONENT = "k8s.io/component-base/version"
_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    Attributes:
        name: of the program and of its folder below `go`.
        package: what is compiled.
        flags: for the linker.
        definitions: a folder of YAML files to keep beside the program, as (module, path in it).
        minutes: what a cold build takes on two cores.
        modules: the folder of the program's folder, if it is not this suite's.
    """

    name: str
    package: str
    flags: str = "-s -w"
    definitions: tuple[str, str] | None = None
    minutes: int = 1
    modules: Path | None = None

    @property
    def module(self) -> Path:
        """The folder with its go.mod."""
        return (self.modules or MODULES) / self.name

    def folder(self, store: Path | None = None) -> Path:
        """Where it is kept once it is built: the program and, maybe, `definitions/`."""
        digest = hashlib.sha256(self.flags.encode())
        for file in sorted(self.module.iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return (store or store_root()) / "tools" / f"{self.name}-{digest.hexdigest()[:12]}"


PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "controlplane",
            ".",
            f"-s -w -X {_COMPONENT}.gitVersion={VERSION}"
            f" -X {_COMPONENT}.gitMajor=1 -X {_COMPONENT}.gitMinor=37",
            minutes=17,
        ),
        Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", minutes=2),
        Program(
            "kueue",
            "sigs.k8s.io/kueue/cmd/kueue",
            definitions=("sigs.k8s.io/kueue", "config/components/crd/bases"),
            minutes=8,
        ),
    )
}


def find(name: str, store: Path | None = None) -> Path | None:
    """The program `name`, if it is built."""
    return _built(PROGRAMS[name], store)


def _built(program: Program, store: Path | None) -> Path | None:
    found = program.folder(store) / program.name
    return found if found.is_file() else None


def ensure(
    name: str,
    store: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda message: None,
) -> Path:
    """Return the program `name`, building it if need be; see `provide`."""
    return provide(PROGRAMS[name], store, progress=progress)


def provide(
    program: Program,
    store: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda message: None,
) -> Path:
    """Return a program, building it if need be.

    Blocking. Several processes may call it at once: one builds, the others wait for it. The
    folder appears whole or not at all.

    Raises:
        golang.GoError: there is no Go to be had, or the build failed.
    """
    target = program.folder(store)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with golang.locked(target.parent / f"{program.name}.lock"):
        if found := _built(program, store):
            return found
        for stale in target.parent.glob(f".{program.name}-*"):
            golang.remove_tree(stale)
        scratch = Path(tempfile.mkdtemp(prefix=f".{program.name}-", dir=target.parent))
        try:
            _build(program, scratch, progress)
            (scratch / "whole").rename(target)
        finally:
            golang.remove_tree(scratch)
    return target / program.name


def source(go: Path, module: Path, name: str) -> Path:
    """The folder with the source of the module `name`, as `module` pins it; fetched if need be."""
    found = subprocess.run(
        [str(go), "mod", "download", "-json", name],
        cwd=module,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return Path(json.loads(found.stdout)["Dir"])


def _build(program: Program, scratch: Path, progress: Callable[[str], None]) -> None:
    """Make the folder `scratch/whole`."""
    module, whole, work = scratch / "module", scratch / "whole", scratch / "work"
    shutil.copytree(program.module, module)
    whole.mkdir()
    work.mkdir()
    # The objects of such a build are gigabytes: they go where this user's Go keeps its own, so
    # that the next version, or an interrupted build, starts from them.
    golang.build(
        module,
        program.package,
        whole / program.name,
        scratch=work,
        flags=program.flags,
        seconds=_SECONDS,
        progress=progress,
        note=f"once, {program.minutes} minutes cold",
    )
    if program.definitions:
        name, path = program.definitions
        where = source(golang.toolchain(module, work, progress), module, name)
        kept = whole / "definitions"
        kept.mkdir()
        for file in (where / path).glob("*.yaml"):
            shutil.copyfile(file, kept / file.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is missing, or say what is."""
    parser = argparse.ArgumentParser(prog="tests.kubernetes.programs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="build nothing")
    missing = [name for name in PROGRAMS if not find(name)]
    if parser.parse_args(arguments).check:
        if missing:
            print(f"not built yet: {', '.join(missing)}")
        return bool(missing)
    for name in missing:
        ensure(name, progress=lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
