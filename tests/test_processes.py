"""One training in two processes is that in one: the same losses, and an end for all at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import in_processes
from aelab.cli.verbs import main
from aelab.files import read_tensors
from aelab.training.processes import ALONE, Processes, Share, WholeBatchNoise

HERE = Path(__file__).parent
ROUNDING = 1e-5
"""Of losses, relative: of sums in another order, over two epochs."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes find that are connected by loopback."""
    file = tmp_path_factory.mktemp("two") / "found.json"
    port = str(free_port())
    both = [
        subprocess.Popen(
            [sys.executable, str(HERE / "in_processes.py"), rank, "2", port, str(file)]
        )
        for rank in "01"
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def near(found: dict[str, list[float]], asked: dict[str, list[float]]) -> bool:
    return found.keys() == asked.keys() and all(
        found[name] == pytest.approx(asked[name], rel=ROUNDING, abs=ROUNDING) for name in asked
    )


@pytest.mark.parametrize("name", in_processes.CASES)
def test_losses_of_two_are_those_of_one(of_two: dict[str, Any], name: str) -> None:
    of_one = in_processes.as_lists(in_processes.trained(name, ALONE))
    assert near(of_two["traces"][name], of_one)
    assert len(next(iter(of_one.values()))) == 10


@pytest.mark.parametrize("how", ["taken up by two", "taken up by one"])
def test_what_some_began_others_go_on_with(of_two: dict[str, Any], how: str) -> None:
    assert near(of_two[how], in_processes.as_lists(in_processes.handed_over(ALONE, ALONE)))


def test_a_process_reads_its_share_alone(of_two: dict[str, Any]) -> None:
    assert of_two["asked"] == [in_processes.RECIPE.batch_size // 2]


def test_a_model_that_learns_from_a_whole_batch_is_refused(of_two: dict[str, Any]) -> None:
    told = "a Normalised learns from a batch as a whole, which several processes cannot share: "
    assert of_two["refused"] == [f"{told}train it in one, without torchrun"] * 2


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_the_batch(n: int, count: int) -> None:
    shares = [Processes(rank, count).share(n) for rank in range(count)]
    weighing = [share for share in shares if share.weight]
    rows = [row for share in weighing for row in range(n)[share.rows]]
    assert rows == list(range(n))
    assert sum(share.weight for share in shares) == pytest.approx(1)
    assert all(share.stop > share.start for share in shares)


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": torch.randn_like,
    "normal of a size": lambda x: torch.randn(len(x), 5),
    "uniform of a size": lambda x: torch.rand((3 * len(x), 2)),
    "coins": lambda x: x.clamp(0, 1).bernoulli(),
    "coins of channels innermost": lambda x: torch.bernoulli(
        x.clamp(0, 1).contiguous(memory_format=torch.channels_last)
    ),
    "channels innermost": lambda x: torch.randn_like(
        x.contiguous(memory_format=torch.channels_last)
    ),
    "half a row": lambda x: torch.rand_like(x.flatten(1).chunk(2, dim=1)[0]),
    "dropout": lambda x: F.dropout(x, 0.3),
    "in place": lambda x: torch.empty_like(x).normal_(),
    "uniform, in place": lambda x: torch.empty_like(x).uniform_(2, 3),
    "twice, one after the other": lambda x: torch.randn_like(x) + torch.rand_like(x),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_noise_of_a_share_is_that_of_the_batch(draw: str) -> None:
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    whole = DRAWS[draw](x)
    parts = []
    for start, stop in ((0, 2), (2, 6)):
        torch.manual_seed(0)
        with WholeBatchNoise(Share(start, stop, whole=6, weight=0.5)):
            parts.append(DRAWS[draw](x[start:stop]))
    assert torch.equal(torch.cat(parts), whole)


def test_another_verb_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in launched(0, free_port()).items():
        monkeypatch.setenv(name, value)
    assert main(["evaluate", "a-run"]) == 2
    assert capsys.readouterr().err == (
        "aelab: aelab evaluate is one process: start it without torchrun\n"
    )


def launched(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def started(folder: Path, *words: str) -> list[subprocess.Popen[str]]:
    """`aelab train` in two processes."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-m", "aelab", "train", *words],
            cwd=folder,
            env={**os.environ, **launched(rank, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


def ended(both: list[subprocess.Popen[str]]) -> tuple[list[int], list[str], list[str]]:
    """Exit codes, the last lines of standard error, and whatever the second process printed."""
    outputs = [process.communicate(timeout=300) for process in both]
    lines = [err.splitlines()[-1:] for _, err in outputs]
    codes = [process.returncode for process in both]
    return codes, [line for of in lines for line in of], list(filter(None, outputs[1]))


WORDS = ("vae", "--data", "digits", "--epochs", "3", "--latent-dim", "4")


@pytest.mark.slow
def test_the_command_line_trains_in_two(tmp_path: Path) -> None:
    codes, _, printed = ended(started(tmp_path, *WORDS, "--out", "two"))
    assert codes == [0, 0]
    assert not printed
    assert main(["train", *WORDS, "--out", str(tmp_path / "one")]) == 0
    of_two, of_one = (
        read_tensors(tmp_path / name / "steps.safetensors") for name in ("two", "one")
    )
    torch.testing.assert_close(of_two, of_one, rtol=1e-4, atol=1e-4)
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert config == json.loads((tmp_path / "one" / "config.json").read_text())


@pytest.mark.slow
def test_torchrun_starts_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, "-m", "aelab", "train", *WORDS, "--out", "run", "--seconds", "2"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "run" / "metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("vae", "--data", "nowhere.npy"), "nowhere.npy does not exist; check the path"),
        (("gae", "--data", "karate"), "is trained on one example, which several processes cannot"),
        ((*WORDS, "--learning-rate", "1e18"), "became nan by step"),
    ],
)
def test_a_mistake_ends_all_with_one_line(
    tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    codes, lines, printed = ended(started(tmp_path, *words))
    assert codes == [2, 2]
    assert not printed
    assert line in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "ranks", "codes", "line"),
    [
        (signal.SIGINT, (0, 1), [130, 130], "aelab: stopped; the same command takes it up again"),
        (signal.SIGTERM, (0,), [143, 143], "aelab: stopped; the same command takes it up again"),
        (signal.SIGKILL, (1,), [2, -9], "aelab: another process of this training ended"),
        (signal.SIGKILL, (0,), [-9, 2], ""),
    ],
)
def test_whoever_is_stopped_all_end_and_one_goes_on(
    tmp_path: Path, number: int, ranks: tuple[int, ...], codes: list[int], line: str
) -> None:
    words = (*WORDS[:4], "60", "--latent-dim", "4", "--checkpoint-seconds", "0", "--out", "run")
    both = started(tmp_path, *words)
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "checkpoint" / "state.safetensors").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for rank in ranks:
        both[rank].send_signal(number)
    found, lines, _ = ended(both)
    assert found == codes
    assert line in lines[0] if line else True
    assert main(["train", *words[:-1], str(tmp_path / "run")]) == 0
    assert main(["train", *words[:-1], str(tmp_path / "one")]) == 0
    of_two, of_one = (
        read_tensors(tmp_path / name / "steps.safetensors") for name in ("run", "one")
    )
    for name, values in of_one.items():
        assert len(of_two[name]) == len(values)
        torch.testing.assert_close(of_two[name][:100], values[:100], rtol=1e-3, atol=1e-3)
