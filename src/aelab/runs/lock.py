"""One training at a time in a run folder: a lock file that names the process that holds it.

Its holder touches the file every few seconds. So one that died is known to be dead on other hosts
of a shared file system, too: by that file system's own clock, and by looking on for a while.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import IO

from aelab.files import InputError, WriteError

LOCK = ".lock"

BEAT = 5.0
"""Seconds between two touches of a lock by its holder."""

SILENCE = 120.0
"""Seconds without a touch after which a holder elsewhere may be dead."""

WATCHED = 15.0
"""Seconds for which such a lock is watched, since clocks jump: untouched, it is a dead one's."""


class HeldError(InputError):
    """Another process trains in a folder, or may: it will end, or be known to be dead.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, locked(Path(folder)):  # doctest: +ELLIPSIS
    ...     with locked(Path(folder)):
    ...         pass
    Traceback (most recent call last):
    aelab.runs.lock.HeldError: ... is being trained by process ...
    """


class LostError(WriteError):
    """The folder is no longer this process's to write in.

    >>> issubclass(LostError, WriteError)
    True
    """


@dataclass(frozen=True)
class Held:
    """A lock that this process holds, unless somebody took it away.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, locked(Path(folder)) as held:  # doctest: +ELLIPSIS
    ...     held.refuse_lost()
    ...     held.path.unlink()
    ...     held.refuse_lost()
    Traceback (most recent call last):
    aelab.runs.lock.LostError: ... was removed or moved while this process was training into it...
    """

    path: Path
    content: bytes

    def refuse_lost(self) -> None:
        """Raise LostError unless the lock is there, and this process's."""
        folder = self.path.parent
        try:
            found = self.path.read_bytes()
        except FileNotFoundError as error:
            raise LostError(
                f"{folder} or its {LOCK} was removed or moved while this process was training "
                f"into it: the same command takes up what is there"
            ) from error
        except OSError as error:
            raise WriteError(f"cannot read {self.path}: {error.strerror or error}") from error
        if found != self.content:
            raise LostError(
                f"{Holder.of(self.path, found).told(folder)}, which took over from this process: "
                f"nothing more is written here"
            )

    def beat(self, ended: Event) -> None:
        """Touch the lock every few seconds, for as long as it is ours."""
        while not ended.wait(BEAT):
            with suppress(OSError):
                if self.path.read_bytes() == self.content:
                    os.utime(self.path)


@contextmanager
def locked(folder: Path) -> Iterator[Held]:
    """Hold the folder's lock inside; a lock whose process is dead is taken over.

    Raises:
        HeldError: another process holds it.
        InputError: it cannot be written, or nobody can tell whether another holds it.
    """
    path, pid = folder / LOCK, os.getpid()
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {**place(), "pid": pid, "start": start_of(pid), "since": since, "beats": True}
    held = Held(path, json.dumps(holder).encode())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while not created(path, held.content):
            remove_dead(path)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    ended = Event()
    Thread(target=held.beat, args=(ended,), daemon=True).start()
    try:
        yield held
    finally:
        ended.set()
        with suppress(OSError):  # where somebody removed it, it may be another's by now
            if path.read_bytes() == held.content:
                path.unlink()


def created(path: Path, content: bytes) -> bool:
    """Write a file that is new; whether it is."""
    try:
        with path.open("xb", buffering=0) as file:  # O_EXCL: of several processes, one creates it
            file.write(content)
    except FileExistsError:
        return False
    return True


def remove_dead(path: Path) -> None:
    """Remove a dead process's lock.

    Raises:
        HeldError: the process lives, or may.
        InputError: nobody can tell from here, for it does not touch its lock.
    """
    with suppress(FileNotFoundError), path.open("rb+") as file:
        for _ in range(20):  # it may be new, and its content under way
            if content := file.read():
                break
            time.sleep(0.05)
        refuse_living(path, Holder.of(path, content))
        import fcntl  # where a process is known to be dead, there is this

        # Of several that find it dead, the first removes it. The others wait for that, and what
        # is at the path by then is another file, which they leave.
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()


@dataclass(frozen=True)
class Holder:
    """The process that a lock names.

    >>> content = b'{"pid": 7, "host": "a", "namespace": "", "start": "", "since": "noon"}'
    >>> Holder.of(Path("runs/vae/.lock"), content).told(Path("runs/vae"))
    'runs/vae is being trained by process 7 on a since noon'
    """

    pid: int
    start: str
    since: str
    place: dict[str, str]
    """As of `place`; of a lock of an earlier version without the boot."""

    beats: bool
    """Whether it touches its lock; earlier versions did not."""

    @classmethod
    def of(cls, path: Path, content: bytes) -> "Holder":
        """What a lock says; an InputError if it says nothing."""
        try:
            found = json.loads(content)
            where = {key: str(found[key]) for key in place() if key in found or key != "boot"}
            return cls(
                int(found["pid"]),
                str(found["start"]),
                str(found["since"]),
                where,
                bool(found.get("beats")),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is damaged; remove it if nothing trains there") from error

    @property
    def here(self) -> bool:
        """Whether its number is one of this system's processes."""
        return self.place.items() <= place().items()

    def told(self, folder: Path) -> str:
        """Who it is, for the user."""
        host = self.place["host"]
        return f"{folder} is being trained by process {self.pid} on {host} since {self.since}"


def refuse_living(path: Path, holder: Holder) -> None:
    """Raise InputError unless the process that a lock names is dead."""
    held = holder.told(path.parent)
    if holder.here:
        if not lives(holder.pid, holder.start):
            return
        raise HeldError(f"{held}: wait for it, or name another folder with --out")
    if not holder.beats or os.name != "posix":
        raise InputError(f"{held}: if it no longer runs there, remove {path}")
    if not silent(path):
        raise HeldError(
            f"{held}: wait for it, or name another folder with --out; if it died there, the same "
            f"command takes over {SILENCE:.0f} s after its last sign of life"
        )


def silent(path: Path) -> bool:
    """Whether a lock has not been touched for long, and is not while one looks on."""
    with path.open("rb") as file:
        touched = touched_at(file)
    # By one clock, the file system's. Where it jumped, looking on decides, in either direction.
    if abs(clock_of(path.parent) - touched) < SILENCE:
        return False
    end = time.monotonic() + WATCHED
    while time.monotonic() < end:
        time.sleep(WATCHED / 15)
        with path.open("rb") as file:  # opening asks the server anew, not a cache
            if touched_at(file) != touched:
                return False
    return True


def touched_at(file: IO[bytes]) -> float:
    """When an open file was last touched, by the clock of its file system."""
    return os.fstat(file.fileno()).st_mtime


def clock_of(folder: Path) -> float:
    """What time it is for the file system that `folder` is on."""
    path = folder / f".{secrets.token_hex(8)}"
    try:
        with path.open("xb") as file:
            os.utime(path)
            return touched_at(file)
    finally:
        path.unlink(missing_ok=True)


def place() -> dict[str, str]:
    """The host, and on Linux the numbering of its processes, which containers have their own of.

    The boot tells hosts of one name apart, and processes of before from those of now.
    """
    numbering, boot = Path("/proc/self/ns/pid"), Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "namespace": str(numbering.readlink()) if numbering.exists() else "",
        "boot": boot.read_text().strip() if boot.is_file() else "",
    }


def lives(pid: int, start: str) -> bool:
    """Whether the process that began at `start` still runs, and not just another of its number."""
    if os.name != "posix":  # nor is there a harmless way to ask
        return True
    try:
        with suppress(PermissionError):  # it is another user's
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return start_of(pid) in ("", start)


def start_of(pid: int) -> str:
    """When a process began, in Linux's own count; "dead" if it has ended, empty if unknown."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "dead" if state in "ZX" else rest[18]
