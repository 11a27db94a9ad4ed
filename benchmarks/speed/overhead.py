"""What is not training: starting up, loading the data, a study around its trainings."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import Table, alternate, shown, spread

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


AROUND = """
import sys, tempfile, time
from aelab.studies.compare import compare
from aelab.studies.study import load_study
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    result = compare(load_study(sys.argv[1]), out=folder)
    whole = time.perf_counter() - start
    runs = [run for runs in result.runs.values() for run in runs]
    print(whole - sum(run.timings["train_seconds"] for run in runs))
"""


def told(code: str, *arguments: str) -> float:
    """The number that some Python prints at last, in a process of its own."""
    words = (sys.executable, "-c", code, *arguments)
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return float(printed.splitlines()[-1])


def loading() -> float:
    """Seconds to load FashionMNIST, in a process that has imported all it needs."""
    return told(
        "import time, aelab, aelab.data.idx_files; start = time.perf_counter();"
        "aelab.load_data('fashion-mnist'); print(time.perf_counter() - start)"
    )


def around() -> float:
    """Seconds of a small study outside of its trainings: loading, evaluation, table.

    Baselines that rows share, such as a probe of the pixels, are found once a process.
    """
    return told(AROUND, str(STUDY))


def measure(rounds: int) -> dict[str, Any]:
    """Each by itself."""
    measures = {
        "aelab --help": lambda: command(str(BIN / "aelab"), "--help"),
        "aelab compare --help": lambda: command(str(BIN / "aelab"), "compare", "--help"),
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
