"""The page: every figure drawn, written as PNG, and shown in one HTML file that needs no other."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import ParamSpec

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from aelab.data.dataset import Dataset
from aelab.data.graphs import GraphDataset
from aelab.data.input_sets import InputDataset
from aelab.figures import style
from aelab.files import InputError, atomic_path, write_text
from aelab.report import (
    anomalies,
    codes,
    fronts,
    generated,
    measured,
    nodes,
    rates,
    restored,
    scores,
    training,
)
from aelab.report.live import Live, live_parts_under_way
from aelab.report.material import Material, gather
from aelab.report.tiles import chosen
from aelab.studies.answers import answers, answers_of_one
from aelab.studies.results import Results
from aelab.studies.tables import (
    Column,
    audited,
    caption,
    cost_columns,
    first_columns,
    published_columns,
    sections,
)

P = ParamSpec("P")

MOST_ONE_BY_ONE = 16
"""Rows of a study that are also drawn one by one; with more, the page would be too large."""

LIVE_BYTES = 40_000
"""Of the live part's script and text."""

UNPICTURED = ("mean", "copy")
"""Baselines that only the table has: their pictures are one image again and again, and the images
themselves, and beside the mean image's error all others look the same."""


@dataclass(frozen=True)
class Picture:
    """A figure as a file.

    >>> Picture("loss", style.png(Figure()), "The loss falls.", width=640, height=480).uri[:22]
    'data:image/webp;base64'
    """

    name: str
    content: bytes
    told: str
    """What it shows, in words and figures."""

    width: int
    height: int

    @cached_property
    def uri(self) -> str:
        """The whole picture as an address: the same pixels, in a format of fewer bytes."""
        return f"data:image/webp;base64,{base64.b64encode(style.webp(self.content)).decode()}"


@dataclass
class Section:
    """A heading with pictures below it.

    >>> section = Section("Training")
    >>> section.add("loss", Figure)
    >>> section.pictures[0].width, section.missing
    (640, [])
    """

    title: str
    intro: str = ""
    pictures: list[Picture] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Figures that could not be drawn, and why."""

    def add(
        self, name: str, draw: Callable[P, Figure], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Draw a figure, or say why there is none: the InputError that drawing it raises."""
        try:
            figure = draw(*args, **kwargs)
        except InputError as error:
            self.missing.append(str(error))
            return
        content = style.png(figure)
        width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
        self.pictures.append(Picture(name, content, str(figure.get_label()), width, height))


@dataclass(frozen=True)
class Report:
    """A page that was written.

    >>> Report(Path("runs/mine/report.html"), left_out=("Row vae failed: no memory",)).left_out
    ('Row vae failed: no memory',)
    """

    path: Path
    left_out: tuple[str, ...]
    """What it does not show and why, a line each."""


def write_report(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    classes: Sequence[str] = (),
    data_dir: str | Path | None = None,
    data: Dataset | None = None,
    at_once: int = 1,
) -> Report:
    """Write ``report.html`` of a run or a study, and its figures as PNG files beside it.

    They go to `out`, or into the folder itself. `classes` are those shown in reconstructions, all
    unless some are named; `data` are a run's own, where they are in memory. Where the data cannot
    be had, the page lacks what is drawn of them, and says so. The same folder and data give the
    same bytes, also where two processes work `at_once`.

    Raises:
        MissingFileError: the folder is neither a run's nor a study's.
        InputError: it is damaged, half-finished or of other data, or there is no such class.
    """
    material = gather(folder, data_dir, data)
    if classes and material.data is None:
        raise InputError(f"classes are chosen of the data: {material.left_out[-1]}")
    out = material.folder if out is None else Path(out)
    where = None if data_dir is None else Path(data_dir)
    with live_parts_under_way(pictured(material), where, at_once) as live_parts:
        sections = [
            section for section in drawn(material, classes) if section.pictures or section.missing
        ]
        for picture in (picture for section in sections for picture in section.pictures):
            with atomic_path(out / "figures" / f"{picture.name}.png") as temporary:
                temporary.write_bytes(picture.content)
        page = as_html(material, sections)
        parts = live_parts()
    if parts is not None:
        page = as_html(material, sections, parts.within(len(page.encode()) + LIVE_BYTES))
    write_text(out / "report.html", page)
    return Report(out / "report.html", material.left_out)


def pictured(material: Material) -> Material:
    """The rows that are drawn: all but those of UNPICTURED, if there are any others."""
    every = material.results.rows
    rows = tuple(row for row in every if row.model not in UNPICTURED) or every
    runs = {row.name: material.runs[row.name] for row in rows}
    return replace(material, results=replace(material.results, rows=rows), runs=runs)


def drawn(material: Material, classes: Sequence[str]) -> Iterator[Section]:
    """All sections with their figures."""
    material = pictured(material)
    data, split = material.data, material.results.split
    yield table_figures(material)
    if isinstance(data, InputDataset) and data.spec.kind == "images":
        chosen(data, split, classes)  # a class that is not there is told at once
        yield from image_figures(material, data, classes)
    elif isinstance(data, GraphDataset):
        yield graph_figures(material, data)
    if len(material.runs) > MOST_ONE_BY_ONE:
        told = f"{len(material.runs)} rows are too many to be drawn one by one; aelab report draws"
        yield Section("One by one", missing=[f"{told} the folder of any of them"])
        return
    for name in material.runs:
        yield own_figures(material, name, classes)


def table_figures(material: Material) -> Section:
    """The figures of the table as a whole."""
    results = material.results
    section = Section("At a glance")
    if material.is_study and "mse" in results.units:
        section.add("comparison", scores.comparison, results)
        if fronts.compared(results):
            section.add("error-against-time", fronts.error_against_time, results)
            if "frechet" in results.units:
                section.add("error-against-samples", fronts.error_against_samples, results)
        if rates.rated(results):
            section.add("rate-and-distortion", rates.rate_and_distortion, results)
        if scores.sizes_by_model(results):
            section.add("code-size", scores.error_against_size, results)
    return section


def image_figures(
    material: Material, data: InputDataset, classes: Sequence[str]
) -> Iterator[Section]:
    """What every model makes of the same images, and what it makes by itself."""
    results, runs, split = material.results, material.runs, material.results.split
    section = Section("Reconstruction")
    if material.is_study:
        section.intro = "The same images in every row, one scale for all errors."
        section.add("reconstructions", restored.compared, runs, data, split=split, classes=classes)
    section.add("by-class", scores.errors_by_class, results)
    section.add("worst", restored.worst, runs, data, split=split)
    yield section
    section = Section(
        "Denoising", "Every model is given the same noise." if material.is_study else ""
    )
    section.add("psnr-against-noise", scores.psnr_against_noise, results)
    section.add("denoising", restored.denoising, runs, data, split=split)
    yield section
    section = Section(
        "Samples",
        "Codes come from the prior that a model was trained with, and from a mixture of Gaussians "
        "fitted to its codes afterwards. A sample at nearly no distance from its nearest training "
        "image is a copy.",
    )
    section.add("samples", generated.samples, runs, data)
    if generated.class_priors(runs):
        section.add("samples-by-class", generated.samples_by_class, runs)
    yield section
    section = Section("Interpolation", "From one image to another, in a straight line of codes.")
    for number, ends in enumerate(generated.garments(data, classes), start=1):
        name = f"interpolation-{number}"
        section.add(name, generated.interpolation, runs, data, split=split, classes=ends)
    yield section


def graph_figures(material: Material, data: GraphDataset) -> Section:
    """How well links are told from non-links."""
    section = Section(
        "Links", "All rows on the same links and non-links." if material.is_study else ""
    )
    models = {name: run.link_model for name, run in material.runs.items()}
    split = material.results.split
    section.add("roc-and-precision-recall", style.link_curves, models, data, split)
    return section


def own_figures(material: Material, name: str, classes: Sequence[str]) -> Section:
    """The figures of one run."""
    run, data, split = material.runs[name], material.data, material.results.split
    settings = measured.settings_of(run)
    section = Section(name, f"{settings['model']}: {settings['hyperparameters']}.")
    section.add(f"{name}-training", training.training_curves, run, name=name)
    if not material.is_study and anomalies.has_scores(run):
        section.add(f"{name}-scores", anomalies.validation_scores, run, name=name)
    if isinstance(data, GraphDataset):
        section.add(f"{name}-nodes", nodes.node_map, run, data, name=name)
    elif isinstance(data, InputDataset) and data.spec.kind == "images":
        own = {"split": split, "name": name}
        section.add(f"{name}-map", codes.latent_map, run, data, **own)
        section.add(
            f"{name}-reconstructions",
            restored.reconstructions,
            run,
            data,
            classes=classes,
            **own,
        )
        if run.autoencoder.spec.classes:
            section.add(f"{name}-other-classes", generated.other_classes, run, data, **own)
        section.add(f"{name}-traversals", codes.traversals, run, data, **own)
    return section


def as_html(material: Material, drawn: Sequence[Section], live: Live | None = None) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("aelab", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = material.folder
    environment.filters |= {
        # Paths from the folder on: the page is the same wherever that lies.
        "from_folder": lambda text: text.replace(f"{folder}/", "").replace(str(folder), "the run"),
        "options_whole": options_whole,
        # What the page's security policy names an allowed style or script by.
        "sha256": lambda text: base64.b64encode(sha256(text.encode()).digest()).decode(),
    }
    here = files("aelab") / "report"
    results = material.results
    columns = columns_of(results)
    flat = [column for group in columns.values() for column in group]
    own = [section for section in drawn if section.title in material.runs]
    return environment.get_template("page.html").render(
        title=results.heading,
        caption=caption(results),
        answers=answers(results) if material.is_study else answers_of_one(results.rows[0]),
        spans={heading: len(group) for heading, group in columns.items()},
        columns=flat,
        table=zip(*(column.cells for column in flat), strict=True),
        sections=[section for section in drawn if section not in own],
        own=own,
        facts=measured.facts(material),
        settings={name: measured.settings_of(run) for name, run in material.runs.items()},
        audits=audited(results),
        command=measured.command(material),
        unrecorded=measured.unrecorded(material),
        left_out=material.left_out,
        style=(here / "page.css").read_text("utf-8"),
        live=live,
        script="".join((here / name).read_text("utf-8") for name in scripts(live)),
    )


def options_whole(text: str) -> Markup:
    """Text for the page in which no line ends in the middle of an option.

    >>> str(options_whole("a < b? Add --seeds 0 1."))
    'a &lt; b? Add <code>--seeds</code> 0 1.'
    """
    return Markup(re.sub(r"--[a-z-]+", r"<code>\g<0></code>", str(escape(text))))


def scripts(live: Live | None) -> tuple[str, ...]:
    """The files of the page's script."""
    if live is None or not live.content:
        return ("page.js",)
    return ("page.js", "engine.js", "chart.js", "live.js" if live.kind == "images" else "nodes.js")


def columns_of(results: Results) -> dict[str, list[Column]]:
    """The columns of the page's one table, by the heading that stands above them."""
    every = {
        "": first_columns(results),
        **sections(results),
        "Published": published_columns(results),
        "Cost": cost_columns(results),
    }
    return {heading: columns for heading, columns in every.items() if columns}
