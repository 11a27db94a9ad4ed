"""Variational autoencoders that are told the class of each input."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import aelab
from aelab.cli import main
from aelab.data.batch import Batch
from aelab.data.loading import load, load_array, load_settings
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.models.layers import corrupt
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.priors.given_class import GivenClass
from aelab.models.priors.normal import Normal
from aelab.models.zoo import resolve
from aelab.report.generated import other_classes
from aelab.settings import DataSettings
from test_report import texts

SPEC = InputSpec((1, 8, 8), classes=("boot", "bag", "coat"))


def told(n: int = 6, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.rand(n, 1, 8, 8, generator=generator), labels=torch.arange(n) % 3)


@pytest.mark.parametrize("name", ["vae", "conv-vae", "graph-vae"])
def test_the_class_stands_behind_the_latent_numbers(name: str) -> None:
    model = resolve(name).build(SPEC, latent_dim=4)
    z = model.encode(told())
    assert z.shape == (6, 7)
    assert model.code_size == 7
    assert model.side_channel == (3, math.log2(3))
    assert model.code_bits == 4 * 32 + math.log2(3)
    assert z[:, 4:].tolist() == torch.eye(3).repeat(2, 1).tolist()
    assert model(told()).shape == (6, 1, 8, 8)


def test_a_class_that_moves_nothing_leaves_the_model_without_classes() -> None:
    """With no weight on the class, bound and codes are those of the plain model's weights."""
    conditional = resolve("vae").build(SPEC, latent_dim=4, hidden=(16,))
    plain = resolve("vae").build(replace(SPEC, classes=()), latent_dim=4, hidden=(16,))
    with torch.no_grad():
        conditional.of_class.weight.zero_()
        conditional.network.decoder[0].weight[:, 4:] = 0
        own = dict(conditional.named_parameters())
        for key, parameter in plain.named_parameters():
            parameter.copy_(own[key][:, :4] if key == "network.decoder.0.weight" else own[key])
    x = told()
    torch.manual_seed(3)
    negative_log, kl = conditional.bound(x)
    torch.manual_seed(3)
    expected_log, expected_kl = plain.bound(x.x)
    torch.testing.assert_close(negative_log, expected_log)
    torch.testing.assert_close(kl, expected_kl)
    torch.testing.assert_close(conditional.encode(x)[:, :4], plain.encode(x.x))


def test_what_a_class_tells_needs_no_latent_number() -> None:
    """Of inputs that are their class's pattern, the code says nothing and the class everything."""
    patterns = torch.tensor([[0, 255, 0, 255], [255, 255, 0, 0]], dtype=torch.uint8)
    labels = torch.arange(400) % 2
    data = load_array(patterns[labels], DataSettings("mine", condition="class"), labels)
    run = aelab.train("vae", data, latent_dim=2, hidden=(16,), epochs=20, learning_rate=0.05)
    assert run.metrics["mse"] < 1e-3
    assert run.metrics["kl"] < 0.05
    z = run.encode(patterns.numpy(), labels=[0, 1])
    swapped = run.decode(np.concatenate([z[:, :2], z[::-1, 2:]], 1))
    assert np.abs(swapped.round() - patterns.numpy()[::-1].astype(float)).max() < 30


@pytest.mark.parametrize("components", [None, 40])
@pytest.mark.parametrize("initialisation", ["random", "pca"])
def test_training_may_start_from_principal_components(
    initialisation: str, components: int | None
) -> None:
    digits = load("digits", condition="class")
    own: dict[str, Any] = {"hidden": (64,), "activation": "leaky-relu"}
    own |= {"initialisation": initialisation, "components": components}
    model = resolve("vae").build(digits.spec, latent_dim=8, **own)
    model.initialise(digits.split("train"))
    images = digits.split("test").batch(torch.arange(100))
    with torch.no_grad():
        error = (model(images) - images).square().mean().item()
    # PCA with 8 numbers leaves 0.020, and an untrained network the grey image's 0.2.
    assert (error < 0.06) == (initialisation == "pca")


def test_classes_are_drawn_as_often_as_they_are_in_training() -> None:
    labels = torch.tensor([0] * 30 + [1] * 60 + [2] * 10)
    prior = GivenClass(Normal(2), ("a", "b", "c"))
    values = torch.zeros(100, 4, dtype=torch.uint8)
    data = load_array(values, DataSettings("mine"), labels).split("train")
    prior.initialise(data)
    counted = data.classes.bincount() / len(data)
    torch.testing.assert_close(prior.shares, counted)
    torch.manual_seed(0)
    z = prior.sample_codes(20_000)
    torch.testing.assert_close(z[:, 2:].mean(0), counted, atol=0.02, rtol=0)
    assert prior.sample_class(5, 2)[:, 2:].tolist() == [[0, 0, 1]] * 5


def test_its_density_is_the_share_of_the_class_times_that_of_the_latent_numbers() -> None:
    shares = torch.tensor([0.25, 0.75])
    prior = GivenClass(Normal(2), ("a", "b"), shares)
    z = torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, 2.0, 1.0, 0.0]])
    expected = [
        math.log(0.75) - math.log(2 * math.pi),
        math.log(0.25) - math.log(2 * math.pi) - 2.5,
    ]
    torch.testing.assert_close(prior.log_prob(z), torch.tensor(expected))


def test_a_fitted_prior_is_of_the_latent_numbers_class_by_class() -> None:
    """Two classes far apart: codes of either lie where its own training codes lie."""
    torch.manual_seed(0)
    labels = torch.arange(600) % 2
    u = torch.randn(600, 2) + 10.0 * labels[:, None]
    codes = torch.cat([u, torch.eye(2)[labels]], 1)
    prior = GivenClass(FittedMixture(2), ("a", "b"), torch.tensor([0.5, 0.5]))
    prior.fit(codes)
    for label, centre in ((0, 0.0), (1, 10.0)):
        drawn = prior.sample_class(500, label)
        assert drawn[:, :2].mean(0).tolist() == pytest.approx([centre] * 2, abs=0.3)
    mixed = prior.sample_codes(500)
    assert ((mixed[:, 0] > 5) == (mixed[:, 3] == 1)).all()
    # A code of one class with the other's latent numbers is next to impossible.
    other = torch.cat([u[:1] + 10.0, codes[:1, 2:]], 1)
    assert (prior.log_prob(codes[:1]) - prior.log_prob(other)).item() > 20
    again = FittedMixture.from_tensors(prior.tensors(), 2)
    torch.testing.assert_close(again.log_prob(u), prior.latent.log_prob(u))


def test_a_class_by_class_density_mixes_to_the_whole() -> None:
    torch.manual_seed(0)
    prior = FittedMixture(2)
    prior.fit(torch.randn(90, 2), torch.arange(90) % 3)
    z = torch.randn(7, 2)
    mixed = (prior.log_prob_of_classes(z) + prior.shares.log()).logsumexp(1)
    torch.testing.assert_close(mixed, prior.log_prob(z))


def test_noise_leaves_the_class_as_it_is() -> None:
    noisy = corrupt(told(), "gaussian", 0.2, 1.0)
    assert isinstance(noisy, Batch)
    assert noisy.labels.tolist() == told().labels.tolist()
    assert not torch.equal(noisy.x, told().x)
    assert type(corrupt(told().x, "gaussian", 0.2, 1.0)) is torch.Tensor


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> aelab.TrainedRun:
    folder = tmp_path_factory.mktemp("conditional") / "run"
    return aelab.train(
        "vae", "digits", condition="class", latent_dim=3, hidden=(64,), epochs=3, out=folder
    )


def test_it_is_measured_opened_and_drawn_from_as_any_run(conditional: aelab.TrainedRun) -> None:
    assert conditional.metrics["side_channel_size"] == 10
    assert conditional.metrics["noisy_mse_0.2"] > conditional.metrics["mse"]
    assert conditional.metrics["audits"]["side channel"]["figures"]["share_of_side"] > 0
    run = aelab.load(conditional.folder)
    assert set(run.priors.choice.figures) == {"own", "fitted-mixture"}
    x = load("digits").split("test")
    stored = x.values[x.index].numpy()[:5]
    labels = x.classes[:5].numpy()
    assert run.encode(stored, labels).tolist() == conditional.encode(stored, labels).tolist()
    for prior in ("own", "fitted-mixture"):
        assert run.sample(4, prior=prior, class_name="7").shape == (4, 1, 8, 8)
    again = run.priors.named("fitted-mixture")
    assert again.log_prob(torch.tensor(run.encode(stored, labels))).isfinite().all()


def test_a_picture_shows_images_as_if_they_were_of_another_class(
    conditional: aelab.TrainedRun,
) -> None:
    data = load("digits", condition="class")
    figure = other_classes(conditional, data)
    assert {"original", *data.classes} <= set(texts(figure))
    plt.close(figure)


@pytest.mark.slow
def test_it_is_on_the_page_of_the_run(conditional: aelab.TrainedRun) -> None:
    conditional.report()
    assert (conditional.folder / "figures" / "vae-other-classes.png").is_file()


@pytest.mark.parametrize(
    ("labels", "told_why"),
    [
        (None, "x has no classes, and the run's model is told the class of each input"),
        ([0, 12], "x has the class '12'; the run knows 0, 1"),
        ([0], "2 inputs and labels of shape (1,); give one each"),
    ],
)
def test_inputs_without_a_class_of_the_run_are_refused(
    conditional: aelab.TrainedRun, labels: list[int] | None, told_why: str
) -> None:
    with pytest.raises(InputError, match=re_escaped(told_why)):
        conditional.encode(np.zeros((2, 8, 8), np.uint8), labels)


def re_escaped(text: str) -> str:
    return text.replace("(", r"\(").replace(")", r"\)")


def test_new_inputs_bring_their_class_in_an_archive(
    conditional: aelab.TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = load("digits").split("test")
    some = (x.classes == 5) | (x.classes == 7)  # numbers 0 and 1 among themselves
    stored, labels = x.values[x.index][some].numpy()[:, 0], x.classes[some].numpy()
    np.savez(tmp_path / "new.npz", x=stored, y=labels)
    np.savez(tmp_path / "bare.npz", x=stored)
    run = str(conditional.folder)
    out = tmp_path / "codes.npy"
    assert main(["encode", run, str(tmp_path / "new.npz"), "--out", str(out)]) == 0
    i = some.nonzero()[:, 0]
    with torch.inference_mode():
        expected = conditional.autoencoder.encode(x.batch(i)).numpy()  # by the data's own numbers
    np.testing.assert_allclose(np.load(out), expected, atol=1e-6)
    assert main(["encode", run, str(tmp_path / "bare.npz"), "--out", str(tmp_path / "b.npy")]) == 2
    assert "has no classes" in capsys.readouterr().err
    assert not (tmp_path / "b.npy").exists()


def test_a_table_brings_its_class_in_the_column_that_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["length,width,kind"]
    rows += [f"{i % 7},{i % 5 + 9 * (i % 2)},{'left' if i % 2 else 'right'}" for i in range(120)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows) + "\n")
    common = ["--latent-dim", "1", "--hidden", "8", "--epochs", "2"]
    run = str(tmp_path / "run")
    data = ["--data", str(table), "--label", "kind", "--condition", "class"]
    assert main(["train", "vae", *data, *common, "--out", run]) == 0
    new = tmp_path / "new.csv"
    new.write_text("kind,width,length\nright,3,2\nleft,9,1\n")
    out = tmp_path / "codes.csv"
    assert main(["encode", run, str(new), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 3
    samples = tmp_path / "samples.csv"
    assert main(["sample", run, "--n", "3", "--class", "left", "--out", str(samples)]) == 0
    assert len(samples.read_text().splitlines()) == 4
    new.write_text("kind,width,length\nmiddle,3,2\n")
    assert main(["encode", run, str(new), "--out", str(out)]) == 2
    assert "has the class 'middle'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        ("vanilla", {}, "is not told the class of its inputs"),
        ("hvae", {}, "is not told the class of its inputs"),
        ("vae", {"prior": "vamp"}, "with condition, take another prior"),
        ("vae", {"classes": ("1", "2")}, "leave one out"),
    ],
)
def test_what_cannot_be_conditioned_is_refused(
    model: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        aelab.train(model, "digits", condition="class", epochs=1, **options)


def test_data_without_classes_cannot_condition(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((50, 4), np.uint8))
    with pytest.raises(InputError, match="has no classes to tell a model of: leave condition out"):
        load_settings(DataSettings(str(tmp_path / "x.npy"), condition="class"))
    with pytest.raises(InputError, match="is a graph"):
        load_settings(DataSettings("karate", condition="class"))
    assert load("digits").spec.classes == ()
