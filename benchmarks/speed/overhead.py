"""What is not training: starting up, loading the data, a study around its trainings."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Table, alternate, shown, spread

from aelab.compare import compare
from aelab.study import load_study

BIN = Path(sys.executable).parent
STUDY = Path(__file__).parent / "around.toml"


def command(*words: str) -> float:
    """Seconds of a command as a whole process."""
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def python(code: str) -> float:
    """Seconds of some Python as a whole process."""
    return command(sys.executable, "-c", code)


def loading() -> float:
    """Seconds to load FashionMNIST, in a process that has imported all it needs."""
    code = (
        "import time, aelab, aelab.data.fashion_mnist; start = time.perf_counter();"
        "aelab.load_data('fashion-mnist'); print(time.perf_counter() - start)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(told.stdout)


def around() -> float:
    """Seconds of a small study outside of its trainings: loading, evaluation, table, page."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = compare(load_study(str(STUDY)), out=folder)
        whole = time.perf_counter() - start
        return whole - sum(
            run.timings["train_seconds"] for runs in result.runs.values() for run in runs
        )


def measure(rounds: int) -> dict[str, Any]:
    """Each by itself."""
    measures = {
        "aelab --help": lambda: command(str(BIN / "aelab"), "--help"),
        "aelab train vae --help": lambda: command(str(BIN / "aelab"), "train", "vae", "--help"),
        "import aelab": lambda: python("import aelab"),
        "import torch": lambda: python("import torch"),
        "load 70,000 images": loading,
        "a study of three rows, outside training": around,
    }
    times = {name: spread(values) for name, values in alternate(measures, rounds).items()}
    table = Table("Start-up and overhead", "what", "s")
    for name, found in times.items():
        table.add(name, shown(found))
    table.show()
    return times
