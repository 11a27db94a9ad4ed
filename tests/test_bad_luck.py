"""What training does when the machine fails it: a line, an exit code, and nothing lost."""

import errno
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import aelab
import aelab.cli
import aelab.runs.resumable
from aelab.cli.failures import heard_signals, terminate
from aelab.data.input_sets import InputDataset
from aelab.files import (
    AelabError,
    InputError,
    WriteError,
    read_json,
    read_metadata,
    read_tensors,
    remove_temporaries,
    told_memory,
    write_tensors,
)
from aelab.models.zoo import build
from aelab.runs.jobs import run_all
from aelab.runs.listing import listed
from aelab.runs.lock import LOCK
from aelab.runs.record import describe
from aelab.runs.resumable import Progress, Training
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from aelab.studies import search as searching
from aelab.training.loop import TrainingDivergedError, fit
from test_cli import ends_with
from test_runs import KilledError, files_in, stop_after
from tiny_jobs import wait_or_die

RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=1e-2)
SETTINGS = RunSettings("vanilla", {"latent_dim": 6}, recipe=RECIPE)
CHECKPOINT = Path("checkpoint") / "state.safetensors"


@pytest.fixture(scope="module")
def whole(blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """The files of a training that nothing befell."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train_run(SETTINGS, blobs, folder)
    return without_times(folder)


def without_times(folder: Path) -> dict[Path, bytes]:
    return {name: of for name, of in files_in(folder).items() if name.name != "timings.json"}


# Checkpoints


@pytest.mark.parametrize(
    ("pause", "took", "since", "due"),
    [
        (30.0, 0.0, 29.0, False),
        (30.0, 0.0, 30.0, True),
        (30.0, 1.0, 45.0, False),  # one that takes a second comes every 49 seconds
        (30.0, 1.0, 49.5, True),
        (0.0, 1.0, 0.0, True),
    ],
)
def test_a_checkpoint_is_due_by_time_and_takes_two_per_cent_of_it(
    blobs: InputDataset, tmp_path: Path, pause: float, took: float, since: float, due: bool
) -> None:
    training = Training(
        Run(tmp_path, describe(SETTINGS, blobs)),
        build("vanilla", blobs.spec),
        blobs,
        checkpoint_seconds=pause,
    )
    training.saved, training.save_seconds = time.monotonic() - since, took
    assert training.save_is_due() == due


def test_a_long_epoch_has_states_in_time(
    blobs: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("vanilla", blobs.spec)
    recipe = replace(RECIPE, batch_size=2, epochs=1)
    assert len(list(fit(model, blobs.split("train"), recipe))) == 20
    monkeypatch.setattr("aelab.training.loop.LONGEST_CHUNK", 0.0)
    steps = [state.step for state in fit(model, blobs.split("train"), recipe)]
    assert len(steps) == 60


def test_what_killed_writes_left_is_removed(
    blobs: InputDataset, tmp_path: Path, whole: dict[Path, bytes]
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KilledError):
        train_run(SETTINGS, blobs, folder, checkpoint_seconds=0, on_progress=stop_after(5))
    left = [folder / ".0123456789abcdef.json", folder / "priors" / ".0123456789abcdef.safetensors"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    train_run(SETTINGS, blobs, folder)
    assert without_times(folder) == whole


def test_only_temporaries_are_removed(tmp_path: Path) -> None:
    kept = [".lock", ".0123456789abcdeg", ".notes.txt", "0123456789abcdef.json"]
    for name in [*kept, ".0123456789abcdef", ".0123456789abcdef.png"]:
        (tmp_path / name).write_text("")
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


# The disk


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (errno.ENOSPC, "state.safetensors"),
        (errno.ENOSPC, "history.jsonl"),
        (errno.ENOSPC, "samples.png"),
        (errno.EDQUOT, "history.jsonl"),
        (errno.EROFS, "history.jsonl"),
        (errno.EIO, "history.jsonl"),
    ],
)
def test_a_write_that_fails_is_one_line_and_the_same_call_goes_on(
    blobs: InputDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[Path, bytes],
    number: int,
    name: str,
) -> None:
    """Half of the bytes are written, as where a disk fills up."""
    folder, reports = tmp_path / "run", 0
    sync = os.fsync

    def full(descriptor: int) -> None:
        written = Path(f"/proc/self/fd/{descriptor}").readlink()
        if reports >= 5 and written.suffix == Path(name).suffix and written.parent.name in here:
            os.truncate(written, written.stat().st_size // 2)
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    def count(progress: Progress) -> None:
        nonlocal reports
        reports += 1

    here = {"checkpoint", "run"}
    with monkeypatch.context() as patch:
        patch.setattr("aelab.files.os.fsync", full)
        with pytest.raises(WriteError, match=f"cannot write .*{os.strerror(number)}") as told:
            train_run(SETTINGS, blobs, folder, checkpoint_seconds=0, on_progress=count)
    assert "\n" not in str(told.value)
    assert not (folder / LOCK).exists()
    assert (folder / CHECKPOINT).is_file()
    assert not list(folder.rglob(".*"))
    went_on: list[Progress] = []
    train_run(SETTINGS, blobs, folder, on_progress=went_on.append)
    assert len(went_on) < 12
    assert without_times(folder) == whole


def test_a_limit_of_the_system_is_told_by_the_command(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of more than 20,000 bytes are refused, as by a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        words = "train vanilla --data digits --epochs 1 --latent-dim 3 --out run"
        ends_with(2, *words.split())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("aelab: cannot write run")
    assert last.endswith("File too large")


@pytest.mark.parametrize("away", [shutil.rmtree, lambda folder: folder.rename(f"{folder}-moved")])
def test_a_folder_that_is_gone_is_not_made_anew(
    blobs: InputDataset, tmp_path: Path, away: Callable[[Path], object], whole: dict[Path, bytes]
) -> None:
    folder, seen = tmp_path / "run", []

    def remove(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 6:
            away(folder)

    with pytest.raises(WriteError, match="was removed or moved while this process was training"):
        train_run(SETTINGS, blobs, folder, checkpoint_seconds=0, on_progress=remove)
    assert not folder.exists()
    if (moved := tmp_path / "run-moved").exists():  # what was done is there
        folder = moved
        (moved / LOCK).unlink()  # its process, this one, lives
    train_run(SETTINGS, blobs, folder)
    assert without_times(folder) == whole


def test_a_full_disk_is_not_a_candidates_fault(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search ends there, and does not go on without it."""

    def full(*_: object, **__: object) -> None:
        raise WriteError("cannot write x: No space left on device")

    monkeypatch.setattr(searching, "train_run", full)
    with pytest.raises(WriteError):
        aelab.choose(blobs, "reconstruction", budget="40s", out=tmp_path / "out")
    trials = read_json(tmp_path / "out" / "choose.json")["trials"]
    assert [(trial["value"], trial["error"]) for trial in trials] == [(None, "")]


def test_a_full_disk_behind_the_output_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys, aelab.cli; sys.exit(aelab.cli.main(['--version']))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == "aelab: cannot read or write: No space left on device\n"


# Memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("f8")),  # type: ignore[attr-defined]
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 4398046511104 bytes. Error code 12"
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    ],
)
def test_memory_that_does_not_suffice_is_one_line_and_the_run_goes_on(
    blobs: InputDataset, tmp_path: Path, whole: dict[Path, bytes], error: Exception
) -> None:
    seen = []

    def exhaust(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 6:
            raise error

    folder = tmp_path / "run"
    with pytest.raises(AelabError, match=r"the memory does not suffice.* --batch-size") as told:
        train_run(SETTINGS, blobs, folder, checkpoint_seconds=0, on_progress=exhaust)
    assert "\n" not in str(told.value)
    assert (folder / CHECKPOINT).is_file()
    train_run(SETTINGS, blobs, folder)
    assert without_times(folder) == whole


def test_what_pytorch_raises_for_want_of_memory_is_recognised() -> None:
    """Asked for more than there can be; nothing is taken."""
    said = r"the memory does not suffice \(.*\d.*\): fewer inputs"
    with pytest.raises(AelabError, match=said), told_memory("fewer inputs"):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), told_memory("fewer inputs"):
        torch.ones(2).view(3)


# Numbers


def test_a_loss_that_is_no_number_leaves_the_checkpoint_and_fails_again(
    blobs: InputDataset, tmp_path: Path
) -> None:
    """The same settings fail in the same way, and what was done is there to look at."""
    recipe = replace(RECIPE, epochs=9, learning_rate=1e36, schedule="constant")
    settings = RunSettings("vanilla", {"output": "linear"}, recipe=recipe)
    folder, said = tmp_path / "run", []
    for _ in range(2):
        with pytest.raises(TrainingDivergedError, match="lower --learning-rate") as told:
            train_run(settings, blobs, folder, checkpoint_seconds=0)
        said.append(str(told.value))
        (one,) = listed(folder)
        assert (one.state, one.told) == ("failed", f"vanilla: {said[-1]}")
    assert said[0] == said[1]
    assert not (folder / LOCK).exists()
    assert not (folder / "model.safetensors").exists()


# Signals


STUDY = """
[data]
name = "digits"
[recipe]
epochs = 400
batch_size = 32
[rows.vanilla]
[rows.multilayer]
"""

COMMAND = """
import sys
import aelab.cli
import aelab.runs.resumable
aelab.runs.resumable.CHECKPOINT_SECONDS = 0.0
if __name__ == "__main__":
    sys.exit(aelab.cli.main(sys.argv[1:]))
"""


def begun(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command in a group of its own, which trains already."""
    script = folder / "command.py"
    script.write_text(COMMAND)
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    while not list(folder.rglob("config.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)
    return process


WORDS = "train vanilla --data digits --epochs 4000 --checkpoint-seconds 0 --out run".split()  # noqa: SIM905
SIGNALS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_schedulers_signal_is_as_ctrl_c(
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    save = Training.save

    def save_and_hear(*given: object) -> None:
        save(*given)
        assert signal.getsignal(number) is terminate  # or it would end the tests
        signal.raise_signal(number)

    monkeypatch.setattr(Training, "save", save_and_hear)
    ignored = signal.signal(number, signal.SIG_DFL)
    try:
        ends_with(128 + number, *WORDS)
    finally:
        signal.signal(number, ignored)
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "aelab: stopped; the same command takes it up again, to the same result"
    assert (outside / "run" / CHECKPOINT).is_file()
    assert not (outside / "run" / LOCK).exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_schedulers_signal_ends_a_process_so(tmp_path: Path, number: signal.Signals) -> None:
    process = begun(tmp_path, *WORDS)
    while not (tmp_path / "run" / CHECKPOINT).is_file():
        time.sleep(0.05)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 128 + number
    assert told[-1] == "aelab: stopped; the same command takes it up again, to the same result"
    assert "Traceback" not in "".join(told)
    assert (tmp_path / "run" / CHECKPOINT).is_file()
    assert not (tmp_path / "run" / LOCK).exists()


def test_handlers_of_the_host_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    mine = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with heard_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == before[0]
    finally:
        signal.signal(signal.SIGHUP, mine)


def alive(group: int) -> bool:
    """Whether any process of a session runs."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if int(session) == group and state not in "ZX":
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the first", "the group"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_of_a_study_outlives_the_first(
    tmp_path: Path, whom: str, number: signal.Signals
) -> None:
    (tmp_path / "mine.toml").write_text(STUDY)
    process = begun(tmp_path, "compare", "mine.toml", "--jobs", "2", "--no-report")
    send = os.kill if whom == "the first" else os.killpg
    send(process.pid, number)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == (-9 if number == signal.SIGKILL else 143)
    assert "Traceback" not in told
    end = time.monotonic() + 60
    while alive(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(process.pid)


def test_a_worker_that_is_killed_is_told_with_what_to_do() -> None:
    outcomes = dict(run_all(wait_or_die, range(3), 2))
    assert "ended from outside, perhaps for want of memory; try --jobs 1" in str(outcomes[0])
    assert set(outcomes) == {0, 1, 2}


# Damaged checkpoints


def test_a_checkpoint_that_does_not_fit_is_told(blobs: InputDataset, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train_run(
            SETTINGS, blobs, tmp_path / "run", checkpoint_seconds=0, on_progress=stop_after(6)
        )
    path = tmp_path / "run" / CHECKPOINT
    tensors, facts = read_tensors(path), read_metadata(path)
    progress = json.loads(facts["progress"])
    term = next(name for name in tensors if name.startswith("trace/"))
    moment = next(name for name in tensors if name.startswith("moments/exp_avg_sq"))
    others = {name: of for name, of in tensors.items() if name != moment}
    damaged: list[tuple[dict[str, torch.Tensor], object]] = [
        (others, progress),
        ({**tensors, moment: torch.zeros(3)}, progress),
        ({**tensors, term: tensors[term][1:]}, progress),
        (tensors, {**progress, "step": progress["step"] + 1}),
        (tensors, {**progress, "step": "7"}),
        (tensors, {**progress, "seconds": math.inf}),
        (tensors, {**progress, "history": [{"validation_loss": "low", "validation": {}}]}),
        (tensors, {**progress, "history": 3}),
        (tensors, [progress]),
    ]
    for number, (held, told) in enumerate(damaged):
        write_tensors(path, held, {"progress": json.dumps(told)})
        with pytest.raises(InputError, match=r"state\.safetensors is damaged"):
            train_run(SETTINGS, blobs, tmp_path / "run")
        assert path.is_file(), number
    write_tensors(path, tensors, facts)
    train_run(SETTINGS, blobs, tmp_path / "run")


# Clocks


def test_clocks_that_jump_change_nothing(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[Path, bytes]
) -> None:
    draw = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: draw.uniform(0, 2e9))
    train_run(SETTINGS, blobs, tmp_path / "run", checkpoint_seconds=0)
    assert without_times(tmp_path / "run") == whole


# Kills at random moments; `make soak` has more of them


@pytest.mark.slow
@pytest.mark.parametrize(
    "cases",
    [
        ["noise", "early stopping"],
        ["posterior samples", "learnt prior vamp"],
        ["dropout", "learnt prior flow"],
        ["two levels", "channels last"],
        ["study", "study in two processes", "choose"],
    ],
)
def test_trainings_killed_at_random_moments_end_in_the_same_bytes(
    tmp_path: Path, cases: list[str]
) -> None:
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "kills"), "2", str(time.time_ns()), *cases],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
