"""What is installed: the wheel, its version, the command by its other name, completion."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import BytesParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aelab
from aelab import machine
from aelab.cli import completion
from aelab.cli.verbs import VERBS, main
from aelab.data.idx_files import FASHION_MNIST
from aelab.data.loading import load
from aelab.files import MissingFileError
from aelab.models.zoo import ZOO
from aelab.settings import VERSION

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "aelab"

UNUSUAL = "a folder of Zoë’s, 図"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, with what is installed here and no network."""
    folder = tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
    quietly = ["wheel", "-q", "--disable-pip-version-check", "--no-index"]
    built = ["--no-deps", "--no-build-isolation", "-w", str(folder), str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *quietly, *built], check=True)
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_and_is_small(wheel: Path) -> None:
    there = {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        [told] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = BytesParser().parsebytes(archive.read(told))
    assert held == there
    assert metadata["Version"] == VERSION
    assert wheel.stat().st_size < 1_000_000


def test_the_version_is_the_code_s_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")  # an older one's
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"aelab {VERSION}\n"
    assert aelab.__version__ == VERSION
    run = aelab.train("mean", "digits", quiet=True)
    assert run.config["versions"]["aelab"] == VERSION
    assert run.config["versions"]["numpy"] == np.__version__


def test_the_package_is_a_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "aelab", "nothing"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("aelab: there is no verb 'nothing'")


def test_what_only_some_systems_have_is_not_needed(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(signal, "SIGHUP", raising=False)
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it fails
    monkeypatch.setattr(machine, "PROCESSOR", Path("nowhere"))
    Path("photos").mkdir()
    for number in range(12):
        Image.new("L", (4, 4), 20 * number).save(f"photos/{number}.png")
    assert sum(len(split) for split in load("photos").splits.values()) == 12
    assert main(["train", "pca", "--data", "photos", "--latent-dim", "2", "--out", "run"]) == 0


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the completion script of each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        (folder / shell).write_text(completion.script(shell, VERBS))
    return folder


ASK = {
    "bash": """source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _aelab
printf '%s\\n' "${{COMPREPLY[@]}}" """,
    # The two commands that offer something work inside the shell's editor only.
    "zsh": """compdef() {{ :; }}; source {script}
compadd() {{ shift; print -l -- $@; }}; _files() {{ :; }}
words=({words}); CURRENT=$#words; _aelab""",
    "fish": """source {script}; complete -C "{words}" | cut -f1""",
}
"""How each shell is asked to complete the last of some words."""


def completed(shell: str, script: Path, words: str) -> set[str]:
    """What a shell offers in place of the last word, and that begins with it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    quoted = words if shell == "fish" or not words.endswith(" ") else f"{words}''"
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    asked = ASK[shell].format(script=script, words=quoted)
    done = subprocess.run([shell, *plain, "-c", asked], capture_output=True, text=True, check=True)
    last = words.rpartition(" ")[2]
    return {line for line in done.stdout.split() if line.startswith(last)}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_verbs_models_options_and_choices(shell: str, scripts: Path) -> None:
    def offered(words: str) -> set[str]:
        return completed(shell, scripts / shell, words)

    assert offered("aelab ") == set(VERBS)
    assert offered("aelab an") == {"anomalies"}
    assert offered("aelab train ") == set(ZOO)
    assert offered("aelab train vae --late") == {"--latent-dim"}
    assert not offered("aelab train pca --bet")
    assert offered("aelab train vae --bet") == {"--beta"}
    assert offered("aelab train mine:Mine --epo") == {"--epochs"}
    assert offered("aelab train vae --network c") == {"convolutional"}
    assert offered("aelab evaluate run --split ") == {"train", "validation", "test"}
    assert offered("aelab report run --cl") == {"--classes"}


@pytest.mark.parametrize(
    "verb", [*sorted(VERBS.keys() - {"train", "models"}), "train vae", "train gae"]
)
def test_what_is_completed_is_what_the_help_tells(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    printed = capsys.readouterr().out
    told = re.findall(r"^[│ ]{1,2}(-\w|--\w[\w-]*)(?: [A-Z]+)?(?:, (--\w[\w-]*))?", printed, re.M)
    flags = {flag for flags in told for flag in flags if flag}
    assert set(completion.offers((verb.split()[0],))[f"{verb} -"]) == flags


def bare_environment(folder: Path, wheel: Path) -> Path:
    """The folder of commands of an environment that aelab's wheel is installed in.

    What it needs comes from the wheels in the folder that AELAB_WHEELS names, as `pip wheel` or
    `pip download` fills it; without, it is seen where it is installed already, all but aelab.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    wheels = os.environ.get("AELAB_WHEELS")
    python = str(scripts / "python")
    install = ["-I", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    given = ["--no-deps"] if wheels is None else ["--find-links", wheels]
    subprocess.run([python, *install, *given, str(wheel)], check=True)
    if wheels is None:
        asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        Path(site, "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return scripts


@pytest.mark.slow
def test_the_wheel_works_where_nothing_else_of_it_is(wheel: Path, tmp_path: Path) -> None:
    try:
        place = FASHION_MNIST.locate(download=False)
    except MissingFileError as error:
        pytest.skip(f"FashionMNIST is not on this machine: {error}")
    work = tmp_path / UNUSUAL
    work.mkdir()
    scripts = bare_environment(work / "environment", wheel)
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "HOME": str(work), "AELAB_DATA": str(place.folder)}

    def aelab_prints(*words: str) -> str:
        command = [scripts / "aelab", *words]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert aelab_prints("--version") == f"aelab {VERSION}\n"
    where = [scripts / "python", "-c", "import aelab; print(aelab.__file__)"]
    imported = subprocess.run(where, cwd=work, env=environment, capture_output=True, text=True)
    assert str(work) in imported.stdout
    assert "MSE" in aelab_prints("train", "vae", "--data", "digits", "--out", "résumé du run")
    assert "report.html" in aelab_prints("report", "résumé du run")
    assert (work / "résumé du run" / "report.html").stat().st_size > 10_000
    assert "All figures" in aelab_prints("compare", "--quick")
    assert (work / "runs" / "default-quick" / "report.html").is_file()


def test_the_citation_names_this_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {VERSION}" in lines
