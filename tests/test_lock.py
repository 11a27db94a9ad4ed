"""One training at a time in a run folder: the second is refused, a dead one's lock taken over."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from aelab.data.input_sets import InputDataset
from aelab.files import InputError
from aelab.runs.lock import LOCK, locked, place
from aelab.runs.record import describe
from aelab.runs.resumable import Progress
from aelab.runs.train import make_way, train_run
from aelab.settings import Recipe, RunSettings
from test_runs import files_in


def train(data: InputDataset, folder: Path, pause: float = 0.0) -> None:
    """Train with a checkpoint as often as can be; from the third epoch on it waits at each."""

    def tell(progress: Progress) -> None:
        if progress.epoch >= 2:
            time.sleep(pause)

    settings = RunSettings("vanilla", {"latent_dim": 3}, recipe=Recipe(epochs=4, batch_size=60))
    train_run(settings, data, folder, checkpoint_seconds=0, on_progress=tell)


@contextmanager
def training(data: InputDataset, folder: Path, log: Path, pause: float = 0.0) -> Iterator[int]:
    """The number of a process that trains into the folder; what it says goes into the log."""
    if (child := os.fork()) == 0:
        try:
            train(data, folder, pause)
            os._exit(0)
        except BaseException as error:
            log.write_text(f"{type(error).__name__}: {error}")
        finally:
            os._exit(1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only trains
def test_the_second_is_refused_and_after_kill_9_goes_on_to_the_same_bytes(
    blobs: InputDataset, tmp_path: Path
) -> None:
    train(blobs, tmp_path / "whole")
    folder, log = tmp_path / "run", tmp_path / "log"
    with training(blobs, folder, log, pause=600) as first:
        end = time.monotonic() + 60
        while not (folder / "checkpoint" / "state.safetensors").is_file():
            assert not log.exists(), log.read_text()
            assert time.monotonic() < end
            time.sleep(0.01)
        expected = f"{folder} is being trained by process {first} on {socket.gethostname()} since 2"
        with pytest.raises(InputError, match=f"^{re.escape(expected)}.*$"):
            train(blobs, folder)
        assert os.waitpid(first, os.WNOHANG) == (0, 0)
    assert (folder / LOCK).is_file()
    train(blobs, folder)
    before, after = files_in(tmp_path / "whole"), files_in(folder)
    assert after.keys() == before.keys()
    assert Path(LOCK) not in before
    for name in before.keys() - {Path("timings.json")}:
        assert after[name] == before[name], name


def test_of_several_that_find_a_dead_lock_one_trains_at_a_time(tmp_path: Path) -> None:
    """They append to a file what must not lie within one another: + at the beginning, - at the end.

    One that is refused tries again until it was its turn.
    """
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    code = """
import sys, time
from pathlib import Path
from aelab.files import InputError
from aelab.runs.lock import locked
folder, log = Path(sys.argv[1]), open(sys.argv[2], "a", buffering=1)
for turn in range(30):
    while True:
        try:
            with locked(folder):
                log.write("+")
                log.flush()
                time.sleep(0.001)
                log.write("-")
                log.flush()
                if turn % 2:  # as if it had died
                    (folder / ".lock").write_text(sys.argv[3])
            break
        except InputError as error:
            assert "is being trained by process" in str(error), error
"""
    with locked(tmp_path):
        stale = json.loads((tmp_path / LOCK).read_text())
    stale["pid"] = dead.pid
    (tmp_path / LOCK).write_text(json.dumps(stale))
    log = tmp_path / "log"
    arguments = [sys.executable, "-c", code, str(tmp_path), str(log), json.dumps(stale)]
    processes = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert log.read_text() == "+-" * 120


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_is_removed_however_training_ends(
    blobs: InputDataset, tmp_path: Path, error: type[BaseException]
) -> None:
    def fail(progress: object) -> None:
        assert (tmp_path / "run" / LOCK).is_file()
        raise error

    settings = RunSettings("vanilla", recipe=Recipe(epochs=1))
    with pytest.raises(error):
        train_run(settings, blobs, tmp_path / "run", on_progress=fail)
    assert not (tmp_path / "run" / LOCK).exists()


def test_it_is_held_until_the_evaluation_has_ended(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunSettings("pca", {"latent_dim": 3}, recipe=Recipe(epochs=0))
    held = []
    monkeypatch.setattr(
        "aelab.runs.train.draw_run", lambda run, *_: held.append((run.folder / LOCK).is_file())
    )
    train_run(settings, blobs, tmp_path / "run")
    assert held == [True]


def test_a_finished_run_needs_no_lock(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings("pca", {"latent_dim": 3}, recipe=Recipe(epochs=0))
    train_run(settings, blobs, tmp_path / "run")
    with locked(tmp_path / "run"):
        assert train_run(settings, blobs, tmp_path / "run").metrics["mse"] > 0
        with pytest.raises(InputError, match=f"process {os.getpid()} on"):
            train_run(settings, blobs, tmp_path / "run", split="validation")


def test_a_study_removes_no_run_that_is_being_trained(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings("pca", {"latent_dim": 3}, recipe=Recipe(epochs=0))
    train_run(settings, blobs, tmp_path / "run")
    edited = describe(replace(settings, seed=1), blobs)
    with locked(tmp_path / "run"), pytest.raises(InputError, match="is being trained by"):
        make_way(tmp_path / "run", edited)
    assert (tmp_path / "run" / "config.json").is_file()
    make_way(tmp_path / "run", edited)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"host": "elsewhere", "beats": False},
            r"by process \d+ on elsewhere since .* no longer runs there, rem",
        ),
        ({"namespace": "pid:[1]", "beats": False}, r"no longer runs there, remove .*\.lock"),
        ({"host": "elsewhere"}, r"on elsewhere since .* takes over 120 s after its last sign"),
        ({"boot": "another"}, r"takes over 120 s after its last sign"),
        ({}, r"is being trained by process \d+ .* wait for it"),
        ({"pid": "x"}, r"\.lock is damaged; remove it if nothing trains there"),
    ],
)
def test_what_is_said_of_a_lock(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with locked(tmp_path):
        holder = (tmp_path / LOCK).read_text()
    content = json.dumps({**json.loads(holder), **change})
    (tmp_path / LOCK).write_text(content)
    with pytest.raises(InputError, match=said), locked(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == content


def test_a_lock_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has no boot and no beat; its process, of this host, is looked for."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with locked(tmp_path):
        holder = json.loads((tmp_path / LOCK).read_text())
    older = {key: holder[key] for key in ("host", "namespace", "pid", "start", "since")}
    (tmp_path / LOCK).write_text(json.dumps(older))
    with pytest.raises(InputError, match="wait for it, or name"), locked(tmp_path):
        pass
    (tmp_path / LOCK).write_text(json.dumps({**older, "pid": dead.pid}))
    with locked(tmp_path):
        pass


# A holder on another host, which is seen by the lock alone


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are hundredths."""
    for name, value in (("BEAT", 0.05), ("SILENCE", 1.2), ("WATCHED", 0.3)):
        monkeypatch.setattr(f"aelab.runs.lock.{name}", value)


@contextmanager
def held_elsewhere(
    folder: Path, patch: pytest.MonkeyPatch, *, dies: bool = False
) -> Iterator[None]:
    """Hold the lock as a process of another host; the lock as it is when the body begins."""
    here = place()
    with patch.context() as there:
        there.setattr("aelab.runs.lock.place", lambda: {**here, "host": "elsewhere", "boot": "x"})
        held = locked(folder)
        held.__enter__()
        if dies:
            content, touched = (folder / LOCK).read_bytes(), (folder / LOCK).stat().st_mtime
            held.__exit__(None, None, None)
            (folder / LOCK).write_bytes(content)
            os.utime(folder / LOCK, (touched, touched))
    yield
    if not dies:
        held.__exit__(None, None, None)


def age(path: Path, seconds: float) -> None:
    """Set when the file was touched to so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.usefixtures("hasty")
def test_the_living_of_another_host_is_never_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_elsewhere(tmp_path, monkeypatch):
        end = time.monotonic() + 2.0  # longer than the silence of a dead one
        while time.monotonic() < end:
            with pytest.raises(InputError, match="on elsewhere since"), locked(tmp_path):
                pass
            time.sleep(0.1)
    assert not (tmp_path / LOCK).exists()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps_makes_nobody_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    with held_elsewhere(tmp_path, monkeypatch):
        age(tmp_path / LOCK, jump)
        with pytest.raises(InputError, match="on elsewhere since"), locked(tmp_path):
            pass


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("jump", [0.0, 3600.0, -3600.0])
def test_the_dead_of_another_host_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    with held_elsewhere(tmp_path, monkeypatch, dies=True):
        with pytest.raises(InputError, match="takes over 1 s after"), locked(tmp_path):
            pass
        if jump:
            age(tmp_path / LOCK, jump)
        else:
            time.sleep(1.3)
        with locked(tmp_path):
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
            assert json.loads((tmp_path / LOCK).read_text())["host"] == socket.gethostname()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("hasty")
def test_one_that_was_asleep_for_too_long_writes_nothing_more(
    blobs: InputDataset, tmp_path: Path
) -> None:
    """As on a laptop that was closed: meanwhile another host took the folder over."""
    folder, taken = tmp_path / "run", '{"pid": 7, "host": "b", "namespace": "", "start": "1",'
    taken += ' "since": "noon", "boot": "y", "beats": true}'

    def wake(progress: object) -> None:
        (folder / LOCK).write_text(taken)

    settings = RunSettings("vanilla", {"latent_dim": 3}, recipe=Recipe(epochs=1))
    with pytest.raises(InputError, match="by process 7 on b since noon, which took over from this"):
        train_run(settings, blobs, folder, on_progress=wake)
    assert {path.name for path in folder.iterdir()} == {"config.json", LOCK}
    assert (folder / LOCK).read_text() == taken


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="nothing tells when one began")
def test_a_number_that_another_process_has_by_now_is_not_taken_for_the_first(
    tmp_path: Path,
) -> None:
    with locked(tmp_path):
        holder = json.loads((tmp_path / LOCK).read_text())
    (tmp_path / LOCK).write_text(json.dumps({**holder, "start": "1"}))
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["start"] == holder["start"]
    assert list(tmp_path.iterdir()) == []
