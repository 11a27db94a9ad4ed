"""Rate and distortion: which rows are drawn, and where."""

from dataclasses import replace

from aelab.report.rates import DISTANCES, rate_and_distortion, rated
from aelab.studies.results import ResultRow, Results, Spread

FIGURES = {"a": (20.0, 0.02, 90.0), "b": (40.0, 0.01, 60.0), "c": (30.0, 0.015, 70.0)}


def row(name: str, kl: float, mse: float, own: float, model: str = "vae") -> ResultRow:
    figures = {"kl": kl, "mse": mse, "frechet_own": own, "frechet_fitted": own / 2}
    return ResultRow(
        name=name,
        model=model,
        code_size=8,
        parameters=1,
        audits={},
        input_size=100,
        budget="",
        seeds=(0,),
        train_seconds=1.0,
        metrics={metric: Spread(value, None, (value,)) for metric, value in figures.items()},
        published={},
    )


def results(*rows: ResultRow) -> Results:
    return Results(study="rate", title="", quick=False, data="d", split="test", units={}, rows=rows)


def test_rows_of_one_model_are_drawn_by_their_rate() -> None:
    rows = [row(name, *figures) for name, figures in FIGURES.items()]
    alone = row("alone", 10.0, 0.03, 50.0, "conv-vae")
    assert {model: [r.name for r in of] for model, of in rated(results(*rows, alone)).items()} == {
        "vae": ["a", "c", "b"]
    }
    assert rated(results(*rows[:2])) == {}
    without = replace(rows[0], metrics={"mse": rows[0].metrics["mse"]})
    assert rated(results(without, *rows[1:])) == {}


def test_points_are_the_rows_figures() -> None:
    rows = [row(name, *figures) for name, figures in FIGURES.items()]
    figure = rate_and_distortion(results(*rows))
    left, right = figure.axes
    (line,) = left.lines
    assert line.get_xydata().tolist() == [[20.0, 0.02], [30.0, 0.015], [40.0, 0.01]]
    drawn = {str(line.get_label()): line.get_ydata().tolist() for line in right.lines}
    assert drawn == {  # of reconstructions there are no figures
        f"vae: {DISTANCES['frechet_own'][0]}": [90.0, 70.0, 60.0],
        f"vae: {DISTANCES['frechet_fitted'][0]}": [45.0, 35.0, 30.0],
    }
    assert "b 40.0 nats and 0.0100" in figure.get_label()
