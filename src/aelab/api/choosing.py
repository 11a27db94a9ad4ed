"""Which model for one's own data, in one line."""

from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aelab.api.trained import Data
from aelab.files import InputError
from aelab.settings import DataSettings, check_value, seconds_of
from aelab.studies.asked import DataOptions, option_name
from aelab.studies.keywords import filled, with_help

if TYPE_CHECKING:
    from aelab.studies.choose import Choice
    from aelab.studies.goals import Goal


@with_help(DataOptions, DataSettings)
def choose(
    data: Data,
    goal: "Goal",
    *,
    budget: str = "10m",
    latent_dim: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    **settings: Any,  # noqa: ANN401
) -> "Choice":
    """Find the model that fits these data and this goal best, within a budget of wall time.

    `data` are as of `train`, `settings` those of data there. All that is tried goes to the folder
    `out`, runs/choose-DATA-for-GOAL unless given; the chosen run is in its folder ``chosen``, and
    ``choice.answer`` says in a sentence what was chosen and how sure that is. The same call goes on
    where it was stopped.

    Raises:
        AelabError: there is no such goal or keyword, the data cannot have the goal, or the budget
            is too short.
    """
    from aelab.studies.choose import chosen_by, usual_folder
    from aelab.studies.goals import CRITERIA
    from aelab.studies.search import Purpose

    if goal not in CRITERIA:
        raise InputError(f"aelab.choose: goal must be one of {', '.join(CRITERIA)}, not {goal!r}")
    try:
        seconds = seconds_of(budget)
    except (TypeError, AttributeError) as error:
        raise InputError(f"aelab.choose: budget is text as '10m', not {budget!r}") from error
    check_value("aelab.choose: latent_dim", "latent_dim", latent_dim, {"latent_dim": int | None})
    told = told_settings(settings)
    purpose = Purpose(goal, seconds, latent_dim, seed)
    given = None if isinstance(data, str | Path) else data
    name = str(data) if given is None else "data"
    folder = usual_folder(name, goal) if out is None else Path(out)
    where = None if data_dir is None else Path(data_dir)
    source = name if given is None else given
    return chosen_by(source, told, purpose, folder, where, plain=False)[0]


def told_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of data, by their fields' names.

    Raises:
        InputError: there is no such keyword, or its value is of another type.
    """
    only = make_dataclass("Choose", [("data", DataSettings, field(default=DataSettings()))])
    asked: Any = filled(only, given, "aelab.choose")
    names = {option_name(one): one.name for one in fields(DataSettings)}
    return {names[key]: getattr(asked.data, names[key]) for key in given}
