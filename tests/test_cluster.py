"""Studies on a Dask cluster: a scheduler and workers of its own on loopback, some of which fail."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aelab.cli import main
from aelab.files import AelabError, InputError, MissingFileError, WriteError
from aelab.runs import cluster as clusters
from aelab.runs.cluster import Cluster, Needs, cluster, in_worker, lacking, marked
from aelab.runs.jobs import ClosingError, StoppedError, UnfitError, run_all
from aelab.runs.lock import LOCK, HeldError, LostError
from aelab.runs.resumable import Note, Progress, progress_in
from aelab.settings import VERSION
from test_runs import files_in

pytest.importorskip("distributed")

STUDY = """
title = "Far away"
split = "test"
metrics = ["reconstruction"]
[data]
name = "digits"
[recipe]
epochs = {epochs}
batch_size = 32
[rows.vanilla]
hyperparameters = {{ latent_dim = 3, hidden = [24] }}
[rows.multilayer]
hyperparameters = {{ latent_dim = 3 }}
[rows.pca]
hyperparameters = {{ latent_dim = 3 }}
"""

WITH_TIMES = {"timings.json", "results.json", "results.csv", "results.md"}
CHECKPOINT = Path("checkpoint") / "state.safetensors"


def without_times(folder: Path) -> dict[Path, bytes]:
    return {name: of for name, of in files_in(folder).items() if name.name not in WITH_TIMES}


def study(folder: Path, epochs: int) -> None:
    (folder / "far.toml").write_text(STUDY.format(epochs=epochs))


def test_a_study_on_a_cluster_here_is_the_study(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_row = STUDY.format(epochs=1).split("[rows.multilayer]")[0]
    (outside / "far.toml").write_text(one_row)
    assert main(["compare", "far.toml", "--no-report", "--cluster", "local:1", "--out", "far"]) == 0
    assert main(["compare", "far.toml", "--no-report", "--out", "near"]) == 0
    assert without_times(outside / "far") == without_times(outside / "near")
    assert "vanilla: MSE" in capsys.readouterr().err
    assert not list(outside.rglob(".*"))


def test_a_scheduler_that_is_not_there_is_one_line(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study(outside, epochs=1)
    monkeypatch.setattr(clusters, "REACHED", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes calls, and says nothing
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert main(["compare", "far.toml", "--no-report", "--cluster", address]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"aelab: the scheduler {address} cannot be reached within ")
    assert told.count("\n") == 1
    assert not list(outside.rglob("seed-*"))


@pytest.mark.parametrize(
    "address", ["local", "local:", "local:0", "local:-1", "head:8786", "tcp://head", "http://a:80"]
)
def test_what_is_no_cluster_is_told(address: str) -> None:
    import aelab

    with pytest.raises(InputError, match="must be local:N for N workers here"):
        aelab.compare("links", cluster=address)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"study": "links", "jobs": 2}, "jobs are processes on this machine"),
        ({"study": "adbench"}, "jobs are processes on this machine"),
    ],
)
def test_jobs_are_not_for_a_cluster(given: dict[str, Any], said: str) -> None:
    import aelab

    with pytest.raises(InputError, match=said):
        aelab.compare(**{"jobs": 2, **given}, cluster="local:2")


def test_the_benchmark_of_tables_is_not_for_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "adbench", "--cluster", "local:2"]) == 2
    assert "adbench takes no --cluster" in capsys.readouterr().err


# In a worker


class Worker:
    """What is asked of Dask's."""

    def __init__(self, threads: int = 1, state: str = "executing", status: str = "running") -> None:
        tasks = {"task": SimpleNamespace(state=state)} if state else {}
        self.state = SimpleNamespace(nthreads=threads, tasks=tasks)
        self.status, self.address = SimpleNamespace(name=status), "tcp://10.0.0.7:40123"

    def get_current_task(self) -> str:
        return "task"


@pytest.fixture
def needs(outside: Path) -> Iterator[Needs]:
    with marked(outside / "runs") as mark:
        yield Needs(VERSION, outside, mark, own_classes=False)


def test_what_a_worker_lacks_is_told(needs: Needs, tmp_path: Path) -> None:
    assert lacking(needs, Worker()) is None
    assert (
        lacking(replace(needs, version="0.0.1"), Worker())
        == f"runs aelab {VERSION}, and this is 0.0.1"
    )
    assert "has 4 threads" in str(lacking(needs, Worker(4)))
    elsewhere = tmp_path / "not" / "shared"
    assert f"has no {elsewhere}:" in str(lacking(replace(needs, mark=elsewhere / "m"), Worker()))
    assert f"has no {elsewhere}" in str(lacking(replace(needs, folder=elsewhere), Worker()))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[Worker], None]:
    """Be in a worker, which waits for nothing."""
    monkeypatch.setattr(clusters.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(clusters, "keep_freed_memory", lambda: None)
    return lambda worker: monkeypatch.setattr("distributed.get_worker", lambda: worker)


def test_a_job_waits_for_a_folder_that_another_trains_in(
    needs: Needs, here: Callable[[Worker], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    here(Worker())
    raised = iter([HeldError("held"), HeldError("held"), LostError("another took over")])

    def work(job: int, tell: object) -> tuple[int, Path]:
        for error in raised:
            raise error
        return job, Path.cwd()

    monkeypatch.chdir("/")
    assert in_worker(needs, work, 3, lambda told: None) == (3, needs.folder)
    assert Path.cwd() == Path("/")


@pytest.mark.parametrize(
    "error", [MissingFileError("data.csv does not exist"), WriteError("cannot write x: disk full")]
)
def test_a_worker_that_cannot_says_so(
    needs: Needs, here: Callable[[Worker], None], error: AelabError
) -> None:
    def work(job: int, tell: object) -> None:
        raise error

    here(Worker())
    with pytest.raises(UnfitError) as told:
        in_worker(needs, work, 3, lambda told: None)
    assert (told.value.place, told.value.why) == (Worker().address, str(error))
    here(Worker(threads=2))
    with pytest.raises(UnfitError, match="--nthreads 1"):
        in_worker(needs, work, 3, lambda told: None)


@pytest.mark.parametrize(
    ("worker", "error"),
    [
        (Worker(state="cancelled"), StoppedError),
        (Worker(state=""), StoppedError),
        (Worker(status="closing_gracefully"), ClosingError),
    ],
)
def test_a_job_that_nobody_waits_for_ends(
    needs: Needs, here: Callable[[Worker], None], worker: Worker, error: type[Exception]
) -> None:
    here(worker)
    with pytest.raises(error):
        in_worker(needs, lambda job, tell: tell("half"), 3, lambda told: None)


def test_of_what_a_job_tells_notes_alone_travel(
    needs: Needs, here: Callable[[Worker], None]
) -> None:
    def work(job: int, tell: Callable[[object], None]) -> None:
        tell(Progress(1, 2, {}, {}, 3, 4))
        tell(Note("kept as seed-0.set-aside"))

    told: list[object] = []
    here(Worker())
    in_worker(needs, work, 3, told.append)
    assert told == [Note("kept as seed-0.set-aside")]


# The executor, without a cluster


class Client:
    """As Dask's, with workers in this process; each does what `outcome` says."""

    status = "running"

    def __init__(self, lack: dict[str, Any], outcome: Callable[[Any], Any]) -> None:
        self.lack, self.outcome, self.sent = lack, outcome, []

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.lack, 1)

    def run(self, *args: object, **kwargs: object) -> dict[str, Any]:
        return self.lack

    def get_executor(self, **where: Any) -> Any:
        def submit(attempt: object, work: object, job: int, tell: object) -> Future[Any]:
            future: Future[Any] = Future()
            self.sent.append((job, where.get("workers")))
            found = self.outcome((job, where.get("workers")))
            if isinstance(found, Exception):
                future.set_exception(found)
            elif found is None:
                future.cancel()
                future.set_running_or_notify_cancel()
            else:
                future.set_result(([], found))
            return future

        return SimpleNamespace(submit=submit, shutdown=lambda wait: None)

    def close(self, timeout: float) -> None:
        self.status = "closed"


def outcomes(client: Client, needs: Needs, told: list[str]) -> dict[int, Any]:
    place = Cluster(lambda: client, needs, told.append)
    return dict(run_all(lambda job, tell: job, [0, 1, 2], 1, executor=place))


def test_the_job_of_a_worker_that_cannot_is_given_to_the_others(needs: Needs) -> None:
    refusal = UnfitError("a", "cannot write x: No space left on device")
    client = Client(
        {"a": None, "b": None, "c": "has 4 threads"},
        lambda sent: sent[0] if sent[1] == ["b"] else refusal,
    )
    told: list[str] = []
    assert outcomes(client, needs, told) == {0: 0, 1: 1, 2: 2}
    assert client.sent[:3] == [(job, ["a", "b"]) for job in range(3)]
    assert told == [
        "worker c is left out: it has 4 threads",
        "worker a is left out: it cannot write x: No space left on device",
    ]


def test_a_worker_that_closes_is_not_to_blame(needs: Needs) -> None:
    closing = iter([ClosingError("a", "closes")])
    client = Client({"a": None}, lambda sent: next(closing, sent[0]))
    told: list[str] = []
    assert outcomes(client, needs, told) == {0: 0, 1: 1, 2: 2}
    assert client.sent[-1] == (0, None)
    assert told == []


def test_where_no_worker_is_left_that_is_one_line(needs: Needs) -> None:
    client = Client({"a": None}, lambda sent: UnfitError("a", "cannot write x: File too large"))
    told: list[str] = []
    with pytest.raises(AelabError, match=r"no worker is left .*: a cannot write x: File too large"):
        outcomes(client, needs, told)
    assert told == []


def test_a_job_that_a_worker_of_another_version_could_not_read_is_given_to_others(
    needs: Needs,
) -> None:
    lack: dict[str, Any] = {"b": None}

    def outcome(sent: tuple[int, Any]) -> object:
        if sent == (1, None):
            lack["a"] = ModuleNotFoundError("No module named 'aelab.runs.cluster'")  # it came late
            return lack["a"]
        return ValueError("its own") if sent[0] == 2 else sent[0]

    told: list[str] = []
    found = outcomes(Client(lack, outcome), needs, told)
    assert found == {0: 0, 1: 1, 2: "ValueError: its own"}
    assert "worker a is left out: it has no aelab" in told[0]


def test_a_scheduler_that_comes_back_is_given_the_jobs_again(
    needs: Needs, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = iter([None])
    first = Client({"a": None}, lambda sent: next(lost, sent[0]) if sent[0] == 1 else sent[0])
    second = Client({"a": None}, lambda sent: sent[0])
    clients = iter([first, AelabError("cannot be reached"), second])

    def connect() -> Client:
        found = next(clients)
        if isinstance(found, AelabError):
            raise found
        return found

    told: list[str] = []
    place = Cluster(connect, needs, told.append)
    first.status = "connecting"
    assert dict(run_all(lambda job, tell: job, [0, 1, 2], 1, executor=place)) == {0: 0, 1: 1, 2: 2}
    assert second.sent == [(1, None)]
    assert len(told) == 1


# A scheduler and workers


PRELOAD = """
import aelab.runs.resumable
aelab.runs.resumable.CHECKPOINT_SECONDS = 0.0
"""

WITHOUT_DATA = """
import aelab.studies.compare
from aelab.files import MissingFileError

def gone(settings, *args, **kwargs):
    raise MissingFileError(f"{settings.name} does not exist; check the path")

aelab.studies.compare.load_settings = gone
"""


class Own:
    """A scheduler and workers on loopback, in processes of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.logs = 0

    def begin(self, *command: str, **kwargs: Any) -> "subprocess.Popen[bytes]":
        self.logs += 1
        log = self.stack.enter_context((self.folder / f"process-{self.logs}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, *command], stdout=log, stderr=log, start_new_session=True, **kwargs
        )
        self.stack.callback(ended, process)
        return process

    def scheduler(self) -> "subprocess.Popen[bytes]":
        own = [
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dashboard-address",
            "127.0.0.1:0",
        ]
        return self.begin("-m", "distributed.cli.dask_scheduler", *own)

    def worker(self, preload: str = "", **kwargs: Any) -> "subprocess.Popen[bytes]":
        path = self.folder / f"preload-{self.logs}.py"
        path.write_text(PRELOAD + preload)
        own = f"--nthreads 1 --host 127.0.0.1 --dashboard-address 127.0.0.1:0 --preload {path}"
        scratch = ["--local-directory", str(self.folder / "scratch")]
        return self.begin(
            "-m",
            "distributed.cli.dask_worker",
            self.address,
            *own.split(),
            *scratch,
            cwd="/",
            **kwargs,
        )

    def compare(self, out: str = "far") -> "subprocess.Popen[str]":
        given = ["compare", "far.toml", "--no-report", "--cluster", self.address, "--out", out]
        process = subprocess.Popen(
            [sys.executable, "-m", "aelab", *given],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stack.callback(process.kill)
        return process

    def begun(self) -> "tuple[subprocess.Popen[bytes], subprocess.Popen[str]]":
        """The scheduler, and the command of a study that two workers do."""
        study(self.folder, epochs=60)
        scheduler = self.scheduler()
        self.worker()
        self.worker()
        return scheduler, self.compare()

    def training(self, row: str) -> int:
        """The process that trains a row, when it has a checkpoint."""
        folder = self.folder / "far" / "far" / row / "seed-0"
        waited(lambda: (folder / CHECKPOINT).is_file() and (folder / LOCK).is_file())
        assert progress_in(folder) is not None
        return int(json.loads((folder / LOCK).read_text())["pid"])


def ended(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it began."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def waited(until: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    with ExitStack() as stack:
        yield Own(tmp_path, stack)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """The files of the study, done here."""
    folder = tmp_path_factory.mktemp("whole")
    study(folder, epochs=60)
    assert main(["compare", str(folder / "far.toml"), "--no-report", "--out", str(folder)]) == 0
    return without_times(folder / "far")


def small_files() -> None:
    """Files of more than 20,000 bytes are refused, as by a quota."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def finished(process: "subprocess.Popen[str]", code: int = 0) -> list[str]:
    told = process.communicate(timeout=400)[1]
    assert process.returncode == code, told
    assert "Traceback" not in told
    return told.splitlines()


@pytest.mark.slow
def test_a_row_whose_worker_is_killed_is_taken_up(own: Own, whole: dict[Path, bytes]) -> None:
    _, process = own.begun()
    os.kill(own.training("vanilla"), signal.SIGKILL)
    finished(process)
    assert without_times(own.folder / "far" / "far") == whole


@pytest.mark.slow
def test_a_study_outlives_its_scheduler(own: Own, whole: dict[Path, bytes]) -> None:
    scheduler, process = own.begun()
    own.training("vanilla")
    ended(scheduler)
    time.sleep(1)
    own.scheduler()
    own.worker()  # those before may have ended with it
    told = finished(process)
    assert any(line.startswith("the scheduler is gone") for line in told)
    assert without_times(own.folder / "far" / "far") == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "said", "other"),
    [
        ({"preload": WITHOUT_DATA}, "digits does not exist; check the path", True),
        ({"preexec_fn": small_files}, "File too large", False),
    ],
)
def test_a_worker_that_cannot_is_left_out(
    own: Own, whole: dict[Path, bytes], given: dict[str, Any], said: str, other: bool
) -> None:
    """And where there is no other, the command ends, and goes on when there is one."""
    study(own.folder, epochs=60)
    own.scheduler()
    own.worker(**given)
    if other:
        own.worker()
        told = finished(own.compare())
        assert next(line for line in told if "is left out: it" in line).endswith(said)
    else:
        told = finished(own.compare(), code=2)
        assert said in told[-1]
        assert told[-1].startswith("aelab: no worker is left that can do it: tcp://127.0.0.1:")
        own.worker()
        time.sleep(8)  # it comes before the command
        finished(own.compare())
    assert without_times(own.folder / "far" / "far") == whole


@pytest.mark.slow
def test_what_is_stopped_goes_on(own: Own, whole: dict[Path, bytes]) -> None:
    _, process = own.begun()
    trained = own.training("vanilla")
    process.send_signal(signal.SIGINT)
    told = finished(process, code=130)
    assert told[-1] == "aelab: stopped; the same command takes it up again, to the same result"
    folder = own.folder / "far" / "far" / "vanilla" / "seed-0"
    waited(lambda: not (folder / LOCK).exists(), 10)  # the worker, which lives, let it go
    os.kill(trained, 0)
    assert not (folder / "model.safetensors").exists()
    finished(own.compare())
    assert without_times(own.folder / "far" / "far") == whole


@pytest.mark.slow
def test_a_cluster_here_listens_on_loopback_alone(outside: Path) -> None:
    import psutil

    with cluster("local:2", outside, lambda line: None) as found:
        assert len(found.workers()) == 2
        ours = psutil.Process()
        listening = [
            connection.laddr.ip
            for process in [ours, *ours.children(recursive=True)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}
