"""What choosing a detector of anomalies without knowing any is worth, on tables that know theirs.

    python benchmarks/unlabelled.py [FOLDER of ADBench's .npz files] [STEPS of training]

Without labels, `aelab choose --for anomalies` takes the model that best restores validation inputs
from noise. Here, for each table, models are trained on four fifths of the training rows, and noise
is put on the rest; beside it stands how well the models find the true anomalies among the test
rows. One seed, no resampling.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from aelab.data.adbench import read_table, split_halves, table_paths
from aelab.data.input_sets import InputDataset
from aelab.evaluate.scoring import SCORES, default_score, split_scores
from aelab.machine import seeded, threads
from aelab.models.zoo import resolve
from aelab.studies.detectors import DENSE, DETECTORS, STEPS, Detector, recipe_of, split_of
from aelab.studies.goals import share_of_noise_left
from aelab.training.loop import fit

CANDIDATES: dict[str, Detector] = {
    "noise-conditional": DETECTORS["noise-conditional"],
    "autoencoder": DETECTORS["autoencoder"],
    "narrow": replace(DETECTORS["autoencoder"], share=0.25),
    "vae": DETECTORS["vae"],
    "vae-beta-0.1": Detector("", "vae", {**DENSE, "beta": 0.1}),
    "pca": Detector("", "pca"),
}


def figures(
    of: Detector, data: InputDataset, asked: np.ndarray, odd: np.ndarray, steps: int
) -> list[float]:
    """The share of the noise that is left, and the area under the ROC curve of anomalies."""
    assert of.model is not None
    train = data.split("train")
    size = min(of.code_size(data.spec.size), data.spec.size)
    with seeded(0, "initialisation"):
        model = resolve(of.model).build(data.spec, **of.hyperparameters, latent_dim=size)
    recipe = (
        recipe_of(len(train), steps) if of.model != "pca" else replace(recipe_of(1), epochs=0.0)
    )
    for _ in fit(model, train, recipe, seed=0):
        pass
    model.eval()
    name = default_score(model)
    fitted = SCORES[name].fit(model, train)
    left = share_of_noise_left(model, data.split("validation")).mean().item()
    found = split_scores(model, split_of(asked), name, fitted).numpy()
    return [left, float(roc_auc_score(odd, found))]


def main() -> None:
    """Print a row a table, and what choosing comes to."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else STEPS
    rows = []
    print(f"{'table':24}" + "".join(f"{name:>20}" for name in CANDIDATES))
    for path in table_paths(folder):
        halves = split_halves(read_table(path), 0, resampled=False)
        scaler = StandardScaler().fit(halves.train)
        normal = torch.randperm(len(halves.train), generator=torch.Generator().manual_seed(0))
        train = split_of(scaler.transform(halves.train))
        fifth = max(8, len(normal) // 5)
        splits = {
            "train": replace(train, index=normal[fifth:]),
            "validation": replace(train, index=normal[:fifth]),
        }
        data = InputDataset(path.stem, splits, ("normal",), sha256="")
        with threads(1):
            found = [
                figures(of, data, scaler.transform(halves.test), halves.anomaly, steps)
                for of in CANDIDATES.values()
            ]
        rows.append(found)
        print(f"{path.stem:24}" + "".join(f"{a:12.3f} {b:6.3f} " for a, b in found), flush=True)
    names = list(CANDIDATES)
    chosen = [min(range(len(names)), key=lambda k: of[k][0]) for of in rows]
    real = [[figure[1] for figure in of] for of in rows]
    taken = fmean(r[k] for r, k in zip(real, chosen, strict=True))
    print(f"chosen by the noise that is left: {taken:.4f}")
    for place, name in enumerate(names):
        print(f"always {name}: {fmean(r[place] for r in real):.4f} (chosen {chosen.count(place)})")
    print(f"the best of each table: {fmean(max(r) for r in real):.4f}")
    print(f"one at random: {fmean(fmean(r) for r in real):.4f}")
    ranks = [spearmanr([-f[0] for f in of], [f[1] for f in of]).statistic for of in rows]
    print(f"rank correlation within a table: {np.nanmean(ranks):.2f} on average")


if __name__ == "__main__":
    main()
