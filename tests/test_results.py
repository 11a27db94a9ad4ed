"""What is in a results.json: read as it was written, and held against what it must be."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aelab.files import InputError
from aelab.report.material import read_results
from aelab.studies.results import Results
from aelab.studies.tables import as_csv, caption

OLD = Path(__file__).parent / "data" / "version-0.1" / "studies" / "tiny-study" / "results.json"
"""Written by version 0.1, which did not record what was asked."""


def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(OLD.read_text())
    return found


def test_a_file_of_version_0_1_is_read_and_written_to_the_byte() -> None:
    again = Results.from_json(content()).to_json()
    assert again.pop("asked") is None
    assert json.dumps(again, indent=2, ensure_ascii=False) + "\n" == OLD.read_text()


def test_what_was_read_is_what_the_file_says() -> None:
    results = Results.from_json(content())
    pca, vanilla = results.rows
    assert (pca.name, pca.seeds, pca.parameters, pca.images_per_second) == (
        "pca",
        (0, 1),
        256,
        None,
    )
    assert vanilla.mean("mse") == (0.04226078151464093 + 0.07094959574292303) / 2
    assert vanilla.by_seed("mse") == {0: 0.04226078151464093, 1: 0.07094959574292303}
    assert vanilla.by_seed("anomaly_auroc") == vanilla.by_seed("kl") == {}
    assert vanilla.published == {"mse": 0.01}
    assert not vanilla.audits["dead code"].clean
    assert vanilla.others["worst"][0]["index"] == 2
    assert results.claims[0].holds == "is not decided"


def test_newer_facts_and_rows_in_parts_come_back() -> None:
    newer = content()
    newer["asked"] = {
        "study": "six",
        "quick": True,
        "time_budget": None,
        "seeds": [0, 1],
        "split": "test",
        "metrics": ["samples"],
        "data": "photos/",
        "device": "cuda",
    }
    newer["rows"][0] |= {"parts": ["a", "b"], "importance_error": None, "of_tomorrow": [1, {}]}
    del newer["rows"][1]["multiply_adds"], newer["rows"][1]["by_class"]  # as of a graph
    newer["rows"][1]["input_size"] = None
    assert Results.from_json(newer).to_json() == newer


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ((), [], "is no table"),
        (("title",), None, "title must be str, not None"),
        (("rows",), 3, "rows must be a list of ResultRow, not 3"),
        (("rows", 1), "vanilla", "rows: 2 is no table"),
        (("rows", 0, "seeds"), [0, "one"], "rows: 1: seeds: 2 must be int, not 'one'"),
        (("rows", 0, "seeds"), "delete", "rows: 1 has no seeds"),
        (("rows", 0, "row"), "delete", "rows: 1 has no row"),
        (("rows", 1, "metrics", "mse", "mean"), "low", "rows: 2: metrics: mse: mean must be"),
        (("rows", 1, "metrics", "mse", "std"), "delete", "rows: 2: metrics: mse has no std"),
        (("rows", 1, "metrics", "mse", "n"), 2, "rows: 2: metrics: mse has an unknown 'n'"),
        (("claims", 0, "found"), "delete", "claims: 1 has no found"),
        (("units",), "delete", "has no units"),
    ],
)
def test_what_is_amiss_is_told_in_one_line_with_its_place(
    tmp_path: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(changed(content(), place, value)))
    with pytest.raises(InputError) as caught:
        read_results(path)
    told = str(caught.value)
    assert said in told
    assert told.startswith(f"{path} is no table of a study (")
    assert told.endswith("; write it anew with `aelab compare`")
    assert "\n" not in told


def changed(given: Any, place: tuple[str | int, ...], value: object) -> Any:
    if not place:
        return value
    made, (first, *others) = copy.copy(given), place
    if value == "delete" and not others:
        del made[first]
    elif others:
        made[first] = changed(made[first], tuple(others), value)
    else:
        made[first] = value
    return made


def test_a_caption_says_what_the_figures_are_of() -> None:
    results = Results.from_json(content())
    assert caption(results).startswith(f"{results.data}, {results.split} split, 2 seeds, mean")
    assert "overcomplete" not in caption(results)
    wide = replace(results.rows[0], code_size=results.rows[0].input_size or 0)
    assert "* overcomplete: the code is no smaller" in caption(replace(results, rows=(wide,)))
    assert caption(replace(results, rows=())) == f"{results.data}: no row was finished."


def test_lines_of_a_table_in_csv_end_as_lines_do() -> None:
    results = Results.from_json(content())
    lines = as_csv(results).split("\n")
    assert len(lines) == 1 + len(results.rows) + 1  # the head, the rows, and nothing after the last
    assert not any("\r" in line for line in lines)
