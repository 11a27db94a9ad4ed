"""Defaults that follow from the data, and what a given option does to them."""

import json
from pathlib import Path

import numpy as np
import pytest

import aelab
from aelab.cli import main
from aelab.data.arrays import from_memory
from aelab.data.loading import load
from aelab.models.zoo import resolve
from aelab.settings import DataSettings, Recipe
from aelab.studies.fitting import fits_no_recipe, fitted_recipe, fitted_settings

ROWS = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)


@pytest.mark.parametrize("inputs", [10, 48, 150, 1_000, 5_000, 60_000, 10**6])
@pytest.mark.parametrize("model", ["vae", "conv-vae"])
def test_a_recipe_has_enough_steps_in_batches_that_the_data_fill(inputs: int, model: str) -> None:
    recipe = fitted_recipe(Recipe(), resolve(model), inputs)
    steps = recipe.epochs * np.ceil(inputs / recipe.batch_size)
    assert steps >= 1_500
    assert recipe.epochs >= 10
    assert recipe.batch_size <= 64
    assert inputs / recipe.batch_size >= 16 or recipe.batch_size == 8
    assert recipe.patience is not None
    assert 10 <= recipe.patience <= max(10, recipe.epochs)


@pytest.mark.parametrize(("size", "numbers"), [(2, 1), (5, 2), (13, 6), (64, 32), (784, 32)])
@pytest.mark.parametrize("model", ["vanilla", "multilayer", "vae"])
def test_a_code_is_smaller_than_its_input(size: int, numbers: int, model: str) -> None:
    data = from_memory(np.random.default_rng(0).normal(size=(40, size)).astype(np.float32))
    settings = fitted_settings(resolve(model), data)
    assert settings.hyperparameters["latent_dim"] == numbers
    assert resolve(model).build(data.spec, **settings.hyperparameters).code_size == numbers


@pytest.mark.parametrize("size", [2, 5, 64])
def test_of_a_sparse_code_fewer_numbers_are_active_than_an_input_has(size: int) -> None:
    data = from_memory(np.random.default_rng(0).normal(size=(40, size)).astype(np.float32))
    values = fitted_settings(resolve("sparse"), data).hyperparameters
    assert values["active"] < max(2, size)
    assert values["active"] <= values["latent_dim"]


def test_given_options_win_and_the_others_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    run = tmp_path / "run"
    data = ["--data", str(tmp_path / "rows.npy")]
    assert main(["train", "vae", *data, "--epochs", "1", "--out", str(run)]) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["epochs"] == 1
    assert config["recipe"]["batch_size"] == 10
    assert config["hyperparameters"]["latent_dim"] == 2
    same = aelab.train("vae", str(tmp_path / "rows.npy"), epochs=1)
    in_memory = aelab.train("vae", ROWS, epochs=1, latent_dim=3)
    assert same.settings.hyperparameters == aelab.load(run).settings.hyperparameters
    assert in_memory.settings.hyperparameters["latent_dim"] == 3
    assert in_memory.settings.recipe == same.settings.recipe


@pytest.mark.slow
def test_defaults_that_fit_learn(tmp_path: Path) -> None:
    """Points of a curve in five dimensions: better than two principal components can be."""
    t = np.random.default_rng(0).uniform(-2, 2, (300, 2))
    x = np.stack([t[:, 0], t[:, 1], t[:, 0] ** 2, t[:, 0] * t[:, 1], np.sin(2 * t[:, 1])], 1)
    run = aelab.train("multilayer", x.astype(np.float32))
    assert run.metrics["code_size"] == 2
    assert run.metrics["pca_share"] < 0.5


def test_fashion_mnist_and_links_have_recipes_of_their_own() -> None:
    digits, karate = load("digits"), load("karate")
    assert fits_no_recipe(resolve("vae"), digits, "digits")
    assert not fits_no_recipe(resolve("vae"), digits, "fashion-mnist")
    assert not fits_no_recipe(resolve("vae"), digits, None)
    assert not fits_no_recipe(resolve("vgae"), karate, "karate")
    assert DataSettings().name == "fashion-mnist"
