"""Seconds of training to the original study's published figures, against its own way there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import original
import torch
from harness import Table, alternate, new_model, ratios, shown, spread

from aelab.data.input_sets import InputDataset
from aelab.evaluate.reconstruction import original_figure
from aelab.settings import RunSettings
from aelab.studies.compare import dataset
from aelab.studies.study import load_study
from aelab.training.loop import fit

STUDY = Path(__file__).parent / "to-the-figure.toml"


def measure(rounds: int) -> dict[str, Any]:
    """Row by row."""
    study, theirs = load_study(str(STUDY)), load_study("original")
    data = dataset(study.rows[0].settings.data, None, 0)
    assert isinstance(data, InputDataset)
    training = data.split("train")
    pictures = original.Pictures(training)
    threads = torch.get_num_threads()
    found: dict[str, Any] = {}
    table = Table(
        "Training to the original's figure (a seed a round; its own way extrapolated from "
        f"{original.STEPS:,} steps a round)",
        *("row", "published", "reached", "aelab, s", "original, s", "times faster"),
    )
    for row in study.rows:
        plain = theirs.row(row.settings.model)
        assert plain is not None
        figures: list[float] = []

        def ours(settings: RunSettings = row.settings, figures: list[float] = figures) -> float:
            settings = replace(settings, seed=len(figures))
            model = new_model(settings, data)
            (*_, state) = fit(model, training, settings.recipe, seed=settings.seed)
            torch.set_num_threads(threads)
            figures.append(original_figure(model, data.split("validation"), original.VAE_BATCH))
            return state.seconds

        def way(settings: RunSettings = plain.settings) -> float:
            torch.set_num_threads(threads)
            return original.seconds(settings, training, pictures)

        times = alternate({"aelab": ours, "original": way}, rounds)
        faster = ratios(times["original"], times["aelab"])
        published = plain.published["original_figure"]
        found[row.name] = {
            "published": published,
            "figures": spread(figures),
            "reached": all(figure <= published for figure in figures),
            "seconds": spread(times["aelab"]),
            "original_seconds": spread(times["original"]),
            "times_faster": faster,
        }
        table.add(
            row.name,
            f"{published:g}",
            shown(spread(figures)),
            shown(spread(times["aelab"])),
            shown(spread(times["original"])),
            shown(faster),
        )
    table.show()
    return found
