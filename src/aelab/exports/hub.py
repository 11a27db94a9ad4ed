"""Runs on the Hugging Face Hub: pushed in one commit, and fetched as nothing but tensors and JSON.

What is pushed and what is taken is one list of names; whatever else a repository holds stays there.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from aelab.exports.card import model_card
from aelab.files import AelabError, InputError, MissingFileError, atomic_folder, user_cache
from aelab.runs.store import Run

FILES = re.compile(
    r"config\.json|metrics\.json|timings\.json|history\.jsonl|priors/choice\.json|"
    r"(model|steps|anomaly_scores|priors/[\w-]+)\.safetensors"
)
"""Of a run, that travel."""

NEEDED = {"config.json", "model.safetensors", "metrics.json", "timings.json"}

MOST_BYTES = 4 * 2**30
"""Of all files of a run that is fetched."""

NAME = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
ADDRESS = re.compile(r"hf:/{1,2}(.*)")  # a path has one slash where an address has two


def address(where: str | PurePath) -> str | None:
    """The ``owner/name`` of an address of the Hub; none of a folder.

    >>> address("hf://me/vae"), address(PurePath("hf://me/vae")), address("runs/vae")
    ('me/vae', 'me/vae', None)

    Raises:
        InputError: it is an address, and names no repository.
    """
    found = ADDRESS.fullmatch(where.as_posix() if isinstance(where, PurePath) else where)
    return None if found is None else repository(found[1])


def repository(name: str) -> str:
    """The name of a repository, made sure to be one; an InputError otherwise."""
    if not NAME.fullmatch(name) or ".." in name:
        raise InputError(f"a repository of the Hub is named owner/name, not {name!r}")
    return name


def push(run: Run, name: str, *, private: bool = False, license: str | None = None) -> str:
    """Put a trained run into a repository of the Hub, in one commit; its address.

    The repository is made if it is not there, when all is ready; where the commit then fails, it
    is removed again. One that was there keeps what it held.

    Raises:
        AelabError: the run is not finished, there is no token, or the Hub refuses.
    """
    name, hub = repository(name), package()
    _ = run.model, run.metrics, run.timings  # whole, or nothing is pushed
    paths = {path.relative_to(run.folder).as_posix(): path for path in run.folder.rglob("*")}
    files = {name: path for name, path in paths.items() if FILES.fullmatch(name)}
    content: dict[str, Any] = {**files, "README.md": model_card(run, name, license).encode()}
    if hub.get_token() is None:
        raise InputError("no token of the Hub: run `hf auth login`, or set HF_TOKEN")
    api = client(hub)
    adding = [
        hub.CommitOperationAdd(path, str(of) if isinstance(of, Path) else of)
        for path, of in content.items()
    ]
    with told_hub(f"cannot push to {name}, and nothing was changed there"):
        is_new = not api.repo_exists(name)
        if is_new:
            api.create_repo(name, private=private)
    try:
        with told_hub(f"cannot push to {name}: the commit failed"):
            api.create_commit(name, adding, commit_message=f"A run of {run.settings.model}")
    except BaseException as error:
        raise AelabError(f"{error}; {undone(api, name, is_new)}") from error
    return f"hf://{name}"


def undone(api: Any, name: str, is_new: bool) -> str:  # noqa: ANN401 - of a package that is optional
    """Remove a repository that was made for a commit which failed; what is there now."""
    if not is_new:
        return "the repository is as it was"
    try:
        with told_hub("and it could not be removed"):
            api.delete_repo(name)
    except AelabError as error:
        return f"the repository was made for it, is empty, {error}: remove it by hand"
    return "the repository that was made for it is removed"


def fetched(name: str) -> Path:
    """The folder of a run of the Hub, in the user's cache; downloaded if it is not there yet.

    Raises:
        AelabError: there is no such repository, it holds no run, or it is too large.
    """
    name, hub = repository(name), package()
    with told_hub(f"cannot fetch hf://{name}"):
        api = client(hub)
        info = api.model_info(name, files_metadata=True)
    commit = str(info.sha)
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise InputError(f"hf://{name}: the Hub names no commit")
    sizes = {
        one.rfilename: one.size or 0 for one in info.siblings if FILES.fullmatch(one.rfilename)
    }
    if missing := NEEDED - sizes.keys():
        raise MissingFileError(f"hf://{name} holds no run: it has no {', '.join(sorted(missing))}")
    if sum(sizes.values()) > MOST_BYTES:
        raise InputError(f"hf://{name} is larger than {MOST_BYTES:,} bytes")
    folder = user_cache("hub", *name.split("/"), commit)
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            for path in sizes:
                with told_hub(f"cannot fetch {path} of hf://{name}"):
                    api.hf_hub_download(name, path, revision=commit, local_dir=temporary)
            shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the package's own notes
    return folder


def client(hub: Any) -> Any:  # noqa: ANN401
    """The package's client of the Hub, or of the one that HF_ENDPOINT names."""
    return hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="aelab")


def package() -> Any:  # noqa: ANN401 - a module that is optional
    """huggingface_hub; an InputError if it is not installed."""
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise InputError("the Hub needs huggingface_hub: pip install 'aelab[hub]'") from error


@contextmanager
def told_hub(what: str) -> Iterator[None]:
    """Raise an AelabError of one line where the Hub or the way to it fails."""
    try:
        yield
    except AelabError:
        raise
    except Exception as error:  # of the package, of its HTTP client, or of the system
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise AelabError(f"{what}: {' '.join(lines[:3]) or type(error).__name__}") from error
