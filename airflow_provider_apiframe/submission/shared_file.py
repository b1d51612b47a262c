"""A small file that all tasks on one machine read and write in turn.

For what saves requests, and may be lost. It lies in a folder of the system user's own under the
folder for temporary files, which nobody else may read or write.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

MAX_BYTES = 4 * 1024 * 1024
"""A file that is larger was not written here."""

LOCK_SECONDS = 60.0
"""For so long one task waits for the others."""

_LOCK_POLL_SECONDS = 0.01
_NOT_A_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


class SharedFileError(Exception):
    """The file cannot be used; the reason is its text."""


class HeldFileError(SharedFileError):
    """Others held the file for too long. It can be used, but not now."""


@dataclass(frozen=True)
class LockedFile:
    """The file while nobody else reads or writes it.

    :param folder: file descriptor of its folder: what is opened lies in the folder that was
        checked, whatever takes the folder's name meanwhile.
    """

    folder: int
    name: str

    def read(self) -> bytes | None:
        """Return what is in the file, None where there is none.

        :raises SharedFileError: it cannot be read, or is too large.
        """
        with _telling():
            try:
                # Nothing but a file: to open a pipe would wait.
                found = os.open(
                    self.name, os.O_RDONLY | os.O_NONBLOCK | _NOT_A_LINK, dir_fd=self.folder
                )
            except FileNotFoundError:
                return None
            with os.fdopen(found, "rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise SharedFileError(f"{self.name} is larger than {MAX_BYTES} bytes")
            return content

    def write(self, content: bytes) -> None:
        """Replace what is in the file, whole or not at all.

        :raises SharedFileError: it cannot be written.
        """
        new = f"{self.name}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NOT_A_LINK
        with _telling():
            with os.fdopen(os.open(new, flags, 0o600, dir_fd=self.folder), "wb") as file:
                file.write(content)
            os.replace(new, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)


@contextmanager
def locked_file(name: str) -> Iterator[LockedFile]:
    """Hold the file *name* for this task alone.

    :raises SharedFileError: the folder is somebody else's, or a link; or there is no place for it.
    :raises HeldFileError: others held the file for too long.
    """
    with _telling():
        folder = _open_own_folder()
    try:
        with _telling():
            lock = _lock(folder, f"{name}.lock")
        try:
            yield LockedFile(folder, name)
        finally:
            # By name: a process that was forked meanwhile has it open as well.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)
    finally:
        os.close(folder)


def _open_own_folder() -> int:
    path = os.path.join(tempfile.gettempdir(), f"apiframe-{os.getuid()}")
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOT_A_LINK)
    found = os.fstat(folder)
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(folder)
        raise SharedFileError(f"{path} is open to other users of this machine, or belongs to one")
    return folder


def _lock(folder: int, name: str) -> int:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | _NOT_A_LINK, 0o600, dir_fd=folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(name, folder, lock):
                return lock
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(lock)
                raise HeldFileError(f"others held it for {LOCK_SECONDS:g} s") from None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        time.sleep(_LOCK_POLL_SECONDS)


def _is_still(name: str, folder: int, lock: int) -> bool:
    """Return whether the lock is the one that others open: a temporary file may be cleaned away."""
    try:
        return os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(lock))
    except FileNotFoundError:
        return False


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SharedFileError(f"{type(error).__name__}: {error}") from error
