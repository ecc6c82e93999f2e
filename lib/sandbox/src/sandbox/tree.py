"""Write into a folder that a container may have filled, without following its symbolic links.

A container's root outlives it, so a later start must not trust what lies there: each step of a
path is opened by itself and never through a link, so that nothing outside the root is touched.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from sandbox.errors import SandboxError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Of deleting a folder that others delete too.
_ATTEMPTS = 1000

# What is deleted at once: so many files and folders, of so many bytes each. To give back the
# blocks of a large one takes its time.
_FEW = 64
_SMALL = 1024 * 1024


class Tree:
    """A folder on the host, and safe ways to write below it. Paths are relative to it."""

    def __init__(self, top: Path) -> None:
        self.top = top

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that holds `path`, making folders on the way."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise SandboxError(f"{path!r} is not a path below {self.top}")
        folder = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                inner = self._enter(folder, part, path)
                os.close(folder)
                folder = inner
            yield folder, parts[-1]
        finally:
            os.close(folder)

    def _enter(self, folder: int, name: str, path: str) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=folder)
            return os.open(name, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise SandboxError(
                    f"{path} cannot be made below {self.top}: {name} there is not a folder"
                ) from error
            raise

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Make a folder; one that exists is left as it is."""
        with self._parent(path) as (folder, name):
            try:
                os.mkdir(name, mode, dir_fd=folder)
                os.chmod(name, mode, dir_fd=folder)
            except FileExistsError as error:
                if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise SandboxError(
                        f"{path} below {self.top} is not a folder (a link or a file)"
                    ) from error

    def file(self, path: str, data: bytes = b"", mode: int = 0o644) -> None:
        """Write a file anew; whatever non-folder bears its name is taken away first."""
        with self._parent(path) as (folder, name):
            _unlink(name, folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, mode, dir_fd=folder), "wb") as stream:
                stream.write(data)

    def renew(self, path: str, data: bytes) -> None:
        """Give a file that may be mounted somewhere this content; the file stays the same one."""
        with self._parent(path) as (folder, name):
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                descriptor = os.open(name, flags, dir_fd=folder)
            except OSError as error:
                # A container may have taken our rights to it away: it gets another one then.
                if error.errno not in (errno.ENOENT, errno.EACCES, errno.ELOOP):
                    raise
                self.file(path, data)
                return
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                self.file(path, data)
                return
            with os.fdopen(descriptor, "r+b") as stream:
                if stream.read() != data:
                    stream.seek(0)
                    stream.write(data)
                    stream.truncate()

    def touch(self, path: str) -> None:
        """Make an empty file to mount on, unless there is one."""
        with self._parent(path) as (folder, name):
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o644, dir_fd=folder))
                return
            if not stat.S_ISREG(found.st_mode):
                raise SandboxError(f"{path} below {self.top} is not a plain file")

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link, unless something bears its name."""
        with self._parent(path) as (folder, name):
            try:
                os.symlink(target, name, dir_fd=folder)
            except FileExistsError:
                return

    def copy(self, source: Path, path: str) -> None:
        """Copy a file, link or folder of the host; what its reader may not read is left out."""
        with self._parent(path) as (folder, name):
            _copy(str(source), folder, name, path)


def _copy(source: str, folder: int, name: str, path: str) -> None:
    """Copy to `name` in an open folder: a tree of a thousand files opens each folder once."""
    if os.path.islink(source):
        with contextlib.suppress(FileExistsError):
            os.symlink(os.readlink(source), name, dir_fd=folder)
    elif os.path.isdir(source):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
        try:
            inner = os.open(name, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise SandboxError(f"{path} cannot be copied: there is no folder {name}") from error
        try:
            for item in sorted(os.listdir(source)) if os.access(source, os.R_OK | os.X_OK) else ():
                _copy(f"{source}/{item}", inner, item, path)
        finally:
            os.close(inner)
    elif os.path.isfile(source) and os.access(source, os.R_OK):
        _unlink(name, folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(source, "rb") as origin:
            target = os.open(name, flags, 0o644, dir_fd=folder)
            with os.fdopen(target, "wb") as stream:
                shutil.copyfileobj(origin, stream)


def _unlink(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def fill(path: str | Path, data: bytes, mode: int = 0o600) -> None:
    """Give a file this content, one that may have been made in advance; no link is followed.

    Its mode is `mode`, less the umask, if it is new.
    """
    # Not by O_TRUNC: ext4 sends to the disk at once what a file gets that was there before.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        if os.fstat(descriptor).st_size:
            os.ftruncate(descriptor, 0)
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def clear(folder: Path) -> bool:
    """Delete a small folder at once; False if something of it is left, for `remove` to delete.

    For who has a loop: a thread waits for the interpreter's lock after each of a hundred calls,
    and whoever has the lock waits for it in turn.
    """
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _clear(folder.name, parent, _FEW) >= 0
        finally:
            os.close(parent)
    except OSError:
        return False


def _clear(name: str, parent: int, left: int) -> int:
    """Delete a folder in an open one; how many files and folders more may go, below 0 if none."""
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, left + 1)]
        for inner in names:
            found = os.stat(inner, dir_fd=folder, follow_symlinks=False)
            left -= 1
            if left < 0 or found.st_blocks * 512 > _SMALL:
                return -1
            if stat.S_ISDIR(found.st_mode):
                left = _clear(inner, folder, left)
                if left < 0:
                    return -1
            else:
                os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
    return left


def remove(folder: Path) -> None:
    """Delete a folder and all below it, also what a container made unreadable. None is fine.

    Others may be deleting it as well: each find of theirs costs one more attempt.
    """
    for _ in range(_ATTEMPTS):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except PermissionError:
            with contextlib.suppress(FileNotFoundError):
                _open_up(folder)
        else:
            return
    shutil.rmtree(folder)


def _open_up(folder: Path) -> None:
    """Give its owner the right to enter and change every folder below `folder`, itself too."""
    if folder.lstat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _open_up(Path(entry.path))
