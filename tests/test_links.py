import csv
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from aelab.apps.links import (
    node_codes,
    score_pairs,
    top_missing_links,
    write_embeddings,
    write_links,
)
from aelab.data.graphs import GraphDataset, load
from aelab.data.link_graph import LinkGraph, csr_matrix
from aelab.data.specs import GraphSpec
from aelab.evaluate.links import (
    auc,
    average_precision,
    curves,
    evaluate_links,
    split_scores,
    validation_auc,
)
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models import links as module
from aelab.models.contract import LinkModel
from aelab.models.links import (
    GraphAutoencoder,
    all_pairs_cross_entropy,
    masked_edges,
    sampled_cross_entropy,
)
from aelab.settings import Recipe
from aelab.training.loop import fit

with warnings.catch_warnings():  # its import uses what PyTorch has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GCNConv
    from torch_geometric.nn.models import InnerProductDecoder

VARIANTS: list[dict[str, Any]] = [
    {},
    {"variational": True},
    {"encoder": "linear"},
    {"encoder": "linear", "variational": True, "scale": 1.8, "steps": 2, "latent_dim": 8},
    {"negatives": "sampled", "dropout": 0.3},
    {"masked": 0.3, "variational": True, "dropout": 0.2},
    {"masked": 0.3, "negatives": "sampled", "scale": 2.0},
]


@pytest.fixture(scope="module")
def karate() -> GraphDataset:
    return load("karate")


def graph_with_features(dense: bool = True) -> LinkGraph:
    """Five nodes, one of them isolated, with three features."""
    x = torch.tensor([[1.0, 0, 2], [0, 1, 0], [3, 0, 0], [0, 0, 1], [1, 1, 1]])
    positives = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 3]])
    if not dense:
        place = x.nonzero().T
        starts = torch.cat([torch.zeros(1, dtype=torch.long), (x != 0).sum(1).cumsum(0)])
        x = csr_matrix(starts, place[1], x[x != 0], (5, 3))
    return LinkGraph(x, positives)


def built(graph: LinkGraph, seed: int = 0, **arguments: Any) -> GraphAutoencoder:
    with seeded(seed):
        return GraphAutoencoder(GraphSpec(*graph.x.shape), **arguments)


def dense_propagation(graph: LinkGraph) -> np.ndarray:
    a = np.eye(graph.nodes)
    for i, j in graph.positives.T.tolist():
        a[i, j] = a[j, i] = 1
    d = np.diag(a.sum(1) ** -0.5)
    return np.asarray(d @ a @ d)


# Encoders against dense products, and against PyTorch Geometric


@pytest.mark.parametrize("dense", [True, False])
def test_the_gcn_is_a_dense_product(dense: bool) -> None:
    graph = graph_with_features(dense)
    model = built(graph, latent_dim=2, hidden=4)
    assert model.first is not None
    w0, w1 = model.first.detach().numpy(), model.mu.detach().numpy()
    p, x = dense_propagation(graph), graph_with_features().x.numpy()
    expected = p @ np.maximum(p @ x @ w0, 0) @ w1
    assert np.allclose(model.encode(graph).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_linear_encoder_is_a_dense_product(steps: int) -> None:
    graph = graph_with_features()
    model = built(graph, encoder="linear", latent_dim=2, steps=steps)
    p, x, w = dense_propagation(graph), graph.x.numpy(), model.mu.detach().numpy()
    expected = np.linalg.matrix_power(p, steps) @ x @ w
    assert np.allclose(model.encode(graph).detach().numpy(), expected, atol=1e-6)


def test_scale_sets_lengths_before_the_propagation() -> None:
    graph = graph_with_features()
    model = built(graph, encoder="linear", latent_dim=2, scale=1.8)
    h = graph.x.numpy() @ model.mu.detach().numpy()
    h = 1.8 * h / np.linalg.norm(h, axis=1, keepdims=True)
    assert np.allclose(
        model.encode(graph).detach().numpy(), dense_propagation(graph) @ h, atol=1e-6
    )


def test_layers_are_pytorch_geometrics_gcnconv(karate: GraphDataset) -> None:
    graph = karate.split("train").graph
    model = built(graph, variational=True)
    layers = [GCNConv(34, 32, bias=False), *(GCNConv(32, 16, bias=False) for _ in range(2))]
    for layer, weight in zip(layers, (model.first, model.mu, model.log_std), strict=True):
        assert weight is not None
        layer.lin.weight.data = weight.detach().T.clone()
    h = layers[0](graph.x.to_dense(), graph.edge_index).relu()
    mu, log_std = (layer(h, graph.edge_index) for layer in layers[1:])
    posterior = model.posterior(graph.x, graph.propagation)
    assert torch.allclose(posterior.mu, mu, atol=1e-6)
    assert torch.allclose(posterior.log_var, 2 * log_std, atol=1e-6)


# Losses against the formula, written out


def kipf(z: np.ndarray, graph: LinkGraph) -> float:
    """Weighted cross-entropy as in the authors' program: norm * mean over all entries."""
    n = graph.nodes
    a = np.zeros((n, n))
    for i, j in graph.positives.T.tolist():
        a[i, j] = a[j, i] = 1
    pos_weight = (n * n - a.sum()) / a.sum()
    norm = n * n / (2 * (n * n - a.sum()))
    target, p = a + np.eye(n), 1 / (1 + np.exp(-z @ z.T))
    return float(norm * np.mean(-pos_weight * target * np.log(p) - (1 - target) * np.log(1 - p)))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), block=st.sampled_from([1, 7, 10_000]))
def test_the_all_pairs_loss_is_kipf_and_wellings(seed: int, block: int) -> None:
    graph = graph_with_features()
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_PAIRS", block)
        loss = all_pairs_cross_entropy(z, graph.positives)
    assert loss.item() == pytest.approx(kipf(z.numpy().astype(float), graph), rel=1e-5)


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_its_gradient_is_right(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_PAIRS", block)
    graph = graph_with_features()
    z = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: all_pairs_cross_entropy(z, graph.positives), z)


def test_the_kl_divergence_is_a_mean_over_nodes_divided_by_their_number() -> None:
    graph = graph_with_features()
    posterior = (model := built(graph, variational=True, beta=0.5)).posterior(
        graph.x, graph.propagation
    )
    mu, log_std = posterior.mu.detach().numpy(), posterior.log_var.detach().numpy() / 2
    inner = np.sum(1 + 2 * log_std - mu**2 - np.exp(log_std) ** 2, 1)
    kl = -0.5 / graph.nodes * np.mean(inner)  # as the authors' program has it
    assert model.loss(graph)["kl"].item() == pytest.approx(0.5 * kl, rel=1e-5)


@pytest.mark.parametrize("dense", [True, False])
def test_dropout_changes_the_training_loss_alone(dense: bool) -> None:
    graph = graph_with_features(dense)
    model, without = (built(graph, dropout=share) for share in (0.5, 0.0))
    assert torch.equal(model.encode(graph), without.encode(graph))
    with seeded(1):
        loss = model.loss(graph)["reconstruction"]
    assert loss != without.loss(graph)["reconstruction"]

    x, p = graph_with_features().x, torch.from_numpy(dense_propagation(graph)).float()
    with seeded(1):  # of a sparse matrix, the values that it holds
        x[x != 0] = F.dropout(x, 0.5)[x != 0] if dense else F.dropout(x[x != 0], 0.5)
        h = F.dropout((p @ x @ model.first).relu(), 0.5)
    expected = all_pairs_cross_entropy(p @ h @ model.mu, graph.positives)
    torch.testing.assert_close(loss, expected)


def test_sampled_negatives_estimate_the_mean_over_non_links(karate: GraphDataset) -> None:
    graph = karate.split("train").graph
    z = torch.randn(34, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    i, j = graph.positives
    k, m = graph.draw_non_links(200_000)
    estimate = sampled_cross_entropy((z[i] * z[j]).sum(1), (z[k] * z[m]).sum(1))
    p = 1 / (1 + np.exp(-(z @ z.T).numpy().astype(float)))
    a = np.zeros((34, 34), dtype=bool)
    a[i, j] = a[j, i] = True
    none = ~a & ~np.eye(34, dtype=bool)
    exact = (-np.log(p[a]).mean() - np.log(1 - p[none]).mean()) / 2
    assert estimate.item() == pytest.approx(exact, rel=0.01)


def test_masked_edges_are_told_and_pass_no_messages(karate: GraphDataset) -> None:
    graph = karate.split("train").graph
    torch.manual_seed(0)
    propagation, told = masked_edges(graph, 0.3)
    place = propagation.to_dense().nonzero().T
    passed = set(zip(*place[:, place[0] < place[1]].tolist(), strict=True))
    hidden = set(zip(*told.tolist(), strict=True))
    assert passed | hidden == set(zip(*graph.positives.tolist(), strict=True))
    assert not passed & hidden
    assert len(hidden) == round(0.3 * graph.positives.shape[1])


# The contract


@pytest.mark.parametrize("arguments", VARIANTS)
def test_the_contract(arguments: dict[str, Any], karate: GraphDataset) -> None:
    graph = karate.split("train").graph
    model = built(graph, **arguments)
    with seeded(1):
        losses = model.loss(graph)
    assert set(losses) == {"reconstruction", *(["kl"] if arguments.get("variational") else [])}
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    z = model.encode(graph)
    assert z.shape == (34, model.code_size)
    assert torch.equal(z, model.encode(graph))
    pairs = torch.tensor([[0, 5, 3], [7, 2, 3]])
    assert torch.equal(model.decode(z, pairs), model.decode(z, pairs.flip(0)))
    assert torch.equal(model(graph, pairs), model.decode(z, pairs))
    rows = model.decode_rows(z, 3, 9)
    assert torch.allclose(rows, LinkModel.decode_rows(model, z, 3, 9), atol=1e-6)
    other = GraphAutoencoder(karate.spec, **arguments)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.encode(graph), z)


@pytest.mark.parametrize(
    "arguments",
    [
        {"latent_dim": 0},
        {"hidden": 0},
        {"steps": 0},
        {"encoder": "transformer"},
        {"negatives": "none"},
        {"dropout": 1.0},
        {"masked": -0.1},
        {"beta": -1.0},
        {"scale": 0.0},
    ],
)
def test_hyperparameters_out_of_range_are_named(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
        GraphAutoencoder(GraphSpec(5, 3), **arguments)


def test_large_graphs_sample_their_negatives() -> None:
    assert GraphAutoencoder(GraphSpec(5_000, 3)).all_pairs
    assert not GraphAutoencoder(GraphSpec(5_001, 3)).all_pairs
    assert GraphAutoencoder(GraphSpec(5_001, 3), negatives="all-pairs").all_pairs


@pytest.mark.parametrize("arguments", VARIANTS)
def test_training_sees_no_held_out_edge(arguments: dict[str, Any], karate: GraphDataset) -> None:
    """Other held-out edges and negatives, same training edges: the same model, bit by bit."""
    codes = []
    for data in (karate, karate_with_other_held_out(karate)):
        model = trained(data, 5, **arguments)
        codes.append(model.encode(data.split("test").graph))
    assert torch.equal(*codes)


def karate_with_other_held_out(data: GraphDataset) -> GraphDataset:
    swapped = {
        name: replace(data.split(name), positives=split.negatives, negatives=split.positives)
        for name, split in data.splits.items()
        if name != "train"
    }
    train = data.split("train")
    fresh = replace(train, graph=LinkGraph(train.graph.x, train.graph.positives.clone()))
    return replace(data, splits={"train": fresh, **swapped})


def trained(data: GraphDataset, epochs: int, seed: int = 0, **arguments: Any) -> GraphAutoencoder:
    model = built(data.split("train").graph, seed, **arguments)
    recipe = Recipe(epochs=epochs, batch_size=1, learning_rate=0.01, schedule="constant")
    for state in fit(model, data.split("train"), recipe, seed=seed):
        assert state.epoch_ended
    return model


@pytest.mark.parametrize("arguments", VARIANTS)
def test_same_seed_same_bytes(arguments: dict[str, Any], karate: GraphDataset) -> None:
    first, again, other = (trained(karate, 3, seed, **arguments) for seed in (4, 4, 5))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
        assert not torch.equal(weight, other.state_dict()[name])


def test_training_learns_two_communities(tmp_path: Path) -> None:
    """Two groups of 30 with most edges inside: held-out edges are told from the rest."""
    random = np.random.default_rng(0)
    rows = [
        f"{i},{j}"
        for i in range(60)
        for j in range(i)
        if random.random() < (0.5 if i // 30 == j // 30 else 0.02)
    ]
    (tmp_path / "two.csv").write_text("\n".join(rows))
    data = load(str(tmp_path / "two.csv"))
    before = evaluate_links(built(data.split("train").graph), data)
    for arguments in ({}, {"variational": True}, {"negatives": "sampled", "masked": 0.2}):
        assert evaluate_links(trained(data, 100, **arguments), data)["auc"] > 0.75
    assert before["edges"] == len(rows)
    assert before["training_edges"] == len(rows) - len(rows) // 10 - len(rows) // 20
    assert before["scored_edges"] == before["scored_negatives"] == len(rows) // 10


# Scores


def test_auc_and_average_precision_in_closed_cases() -> None:
    high, low = torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0])
    assert (auc(high, low), average_precision(high, low)) == (1.0, 1.0)
    assert auc(low, high) == 0.0
    assert average_precision(low, high) == pytest.approx((1 / 3 + 2 / 4) / 2)
    same = torch.zeros(5)
    assert (auc(same, same), average_precision(same, same)) == (0.5, 0.5)


@settings(deadline=None, max_examples=50)
@given(
    links=st.lists(st.integers(-5, 5), min_size=1, max_size=20),
    others=st.lists(st.integers(-5, 5), min_size=1, max_size=20),
)
def test_auc_is_the_share_of_pairs_in_order(links: list[int], others: list[int]) -> None:
    wins = [(p > n) + (p == n) / 2 for p in links for n in others]
    scores = torch.tensor(links).float(), torch.tensor(others).float()
    assert auc(*scores) == pytest.approx(sum(wins) / len(wins))


def test_evaluation_reads_the_split_it_is_asked_for(karate: GraphDataset) -> None:
    model = built(karate.split("train").graph)
    z = model.encode(karate.split("train").graph).detach()
    logits = z @ z.T
    test = karate.split("test")
    expected = [logits[tuple(pairs)] for pairs in (test.positives, test.negatives)]
    for ours, theirs in zip(split_scores(model, karate, "test"), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    theirs = InnerProductDecoder()(z, test.positives, sigmoid=False)
    assert torch.allclose(split_scores(model, karate, "test")[0], theirs, atol=1e-6)
    assert evaluate_links(model, karate, "test")["auc"] == auc(*expected)
    assert validation_auc(model, karate) == evaluate_links(model, karate, "validation")["auc"]
    with pytest.raises(ValueError, match="'train' has no negatives"):
        evaluate_links(model, karate, "train")


def test_curves_hold_the_area(karate: GraphDataset) -> None:
    model = built(karate.split("train").graph)
    drawn = curves(model, karate)
    x, y = np.array(drawn["roc"]).T
    assert np.trapezoid(y, x) == pytest.approx(evaluate_links(model, karate)["auc"])
    recall, precision = np.array(drawn["precision_recall"]).T
    area = -np.sum(np.diff(recall) * precision[:-1])
    assert area == pytest.approx(evaluate_links(model, karate)["ap"])


# What people do with a model


@pytest.mark.parametrize("block", [1, 50, 10_000])
@pytest.mark.parametrize("n", [1, 10, 10_000])
def test_top_missing_links_are_those_of_a_full_search(
    n: int, block: int, karate: GraphDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aelab.apps.links.BLOCK_PAIRS", block)
    model = built(karate.split("train").graph)
    z = model.encode(karate.split("train").graph).detach()
    edges = {tuple(edge) for edge in karate.whole.positives.T.tolist()}
    every = {
        (i, j): torch.dot(z[i], z[j]).sigmoid().item()
        for i in range(34)
        for j in range(i + 1, 34)
        if (i, j) not in edges
    }
    found = top_missing_links(model, karate, n)
    best = sorted(every.values(), reverse=True)[:n]
    assert len(found) == len(best) == min(n, 34 * 33 // 2 - 78)
    assert [score for *_, score in found] == pytest.approx(best, abs=1e-6)
    assert all(every[int(i), int(j)] == pytest.approx(s, abs=1e-6) for i, j, s in found)
    with pytest.raises(InputError, match="1 or more"):
        top_missing_links(model, karate, 0)


def test_pairs_are_scored_by_id(karate: GraphDataset) -> None:
    model = built(karate.split("train").graph)
    z = node_codes(model, karate)
    links = score_pairs(model, karate, [("3", "33"), ("33", "3")])
    assert links[0][:2] == ("3", "33")
    assert [s for *_, s in links] == pytest.approx([torch.dot(z[3], z[33]).sigmoid().item()] * 2)
    assert score_pairs(model, karate, []) == []
    with pytest.raises(InputError, match=r"no node '34', '99', 'x' \(nor 1 more"):
        score_pairs(model, karate, [("1", "99"), ("34", "x"), ("y", "2")])


def test_links_and_embeddings_are_written(karate: GraphDataset, tmp_path: Path) -> None:
    model = built(karate.split("train").graph)
    named = replace(karate, node_ids=tuple(f'Zoë, "{i}"' for i in range(34)))
    z = node_codes(model, named).numpy()
    write_embeddings(tmp_path / "z.csv", model, named)
    with (tmp_path / "z.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["node", *(f"z{i}" for i in range(16))]
    assert [row[0] for row in rows] == list(named.node_ids)
    assert np.array_equal(np.array([row[1:] for row in rows], dtype=np.float32), z)
    write_embeddings(tmp_path / "z.npy", model, named)
    assert np.array_equal(np.load(tmp_path / "z.npy", allow_pickle=False), z)
    with (tmp_path / "z.ids.csv").open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["node", *named.node_ids]
    with pytest.raises(InputError, match=r"\.csv or \.npy"):
        write_embeddings(tmp_path / "z.pkl", model, named)
    links = top_missing_links(model, named, 5)
    write_links(tmp_path / "links.csv", links)
    with (tmp_path / "links.csv").open(encoding="utf-8", newline="") as file:
        assert [tuple(row[:2]) for row in csv.reader(file)][1:] == [link[:2] for link in links]
