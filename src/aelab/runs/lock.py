"""One training at a time in a run folder: a lock file that names the process that holds it."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from aelab.files import InputError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock inside; a lock whose process is dead is taken over.

    Raises:
        InputError: another process holds it, or it cannot be written.
    """
    path, pid = folder / LOCK, os.getpid()
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    own = json.dumps({**place(), "pid": pid, "start": start_of(pid), "since": since}).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while not created(path, own):
            remove_dead(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # where somebody removed it, it may be another's by now
            if path.read_bytes() == own:
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
        InputError: the process lives, or nobody can tell from here.
    """
    with suppress(FileNotFoundError), path.open("rb+") as file:
        for _ in range(20):  # it may be new, and its content under way
            if content := file.read():
                break
            time.sleep(0.05)
        refuse_living(path, content)
        import fcntl  # where processes can be looked for, there is this

        # Of several that find it dead, the first removes it. The others wait for that, and what
        # is at the path by then is another file, which they leave.
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()


def refuse_living(path: Path, content: bytes) -> None:
    """Raise InputError unless the process that a lock names is dead."""
    try:
        holder = json.loads(content)
        pid, since, host = int(holder["pid"]), holder["since"], holder["host"]
        here = {key: holder[key] for key in place()} == place()
        if here and not lives(pid, holder["start"]):
            return
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged; remove it if nothing trains there") from error
    held = f"{path.parent} is being trained by process {pid} on {host} since {since}"
    if here:
        raise InputError(f"{held}: wait for it, or name another folder with --out")
    raise InputError(f"{held}: if it no longer runs there, remove {path}")


def place() -> dict[str, str]:
    """The host, and on Linux the numbering of its processes, which containers have their own of."""
    numbering = Path("/proc/self/ns/pid")
    return {
        "host": socket.gethostname(),
        "namespace": str(numbering.readlink()) if numbering.exists() else "",
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
