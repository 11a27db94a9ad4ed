"""The command line: one short function a verb.

Each parses its options first and imports what it works with afterwards, for instant help.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from aelab.cli.anomalies import anomalies
from aelab.cli.choosing import choose
from aelab.cli.exploring import explore, print_page
from aelab.cli.exporting import export
from aelab.cli.failures import EXIT_FAILED, EXIT_USAGE, told, warn
from aelab.cli.listing import runs, verify
from aelab.cli.opening import (
    NoOptions,
    applied,
    counted,
    import_own_class,
    opened,
    opened_run,
    parse,
    said_by,
)
from aelab.cli.several import refuse_several
from aelab.cli.training import train
from aelab.files import AelabError, write_picture

SHOWN = 10
"""Links that are printed; the file has all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; the exit code. A user's mistake is one line on standard error and code 2."""
    verb, *given = list(sys.argv[1:] if arguments is None else arguments) or [""]
    return told(verb, lambda: run_verb(verb, given))


def run_verb(verb: str, given: list[str]) -> int:
    """The exit code of a verb, or of what stands in its place."""
    if verb in ("", "-h", "--help"):
        print(overview(), flush=True)
        return 0 if verb else EXIT_USAGE
    if verb == "--version":
        from aelab.settings import VERSION

        print(f"aelab {VERSION}")
        return 0
    if verb not in VERBS:
        raise AelabError(f"there is no verb {verb!r}; there are {', '.join(VERBS)}")
    if verb != "train":
        refuse_several(verb)
    return VERBS[verb](given)


def overview() -> str:
    """The help of ``aelab`` itself."""
    verbs = "\n".join(
        f"  {name:<12} {(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()
    )
    return (
        "usage: aelab VERB [options]\n\n"
        "A laboratory bench for autoencoders: trains them, compares them on one scale,\n"
        f"and hands over the one you chose.\n\n{verbs}\n\n"
        "aelab VERB --help shows a verb's options; aelab train MODEL --help a model's own.\n"
        "aelab --version"
    )


def models(arguments: list[str]) -> int:
    """List the zoo: code size, parameters and source of every model."""
    parse(NoOptions, "models", arguments, models.__doc__)
    from rich.console import Console

    from aelab.cli.screen import print_table, zoo_table

    table = zoo_table()
    print_table(lambda left_out: table, Console())
    return 0


def evaluate(arguments: list[str]) -> int:
    """Evaluate a trained run anew, and write its metrics.json."""
    from aelab.cli.options import EvaluateOptions

    options = parse(EvaluateOptions, "evaluate", arguments, evaluate.__doc__)
    from aelab.cli.screen import print_run

    run = opened_run(options)
    run.evaluate(options.split, options.metrics, data_dir=options.data_dir)
    print_run(run)
    warn(run.notes)
    return 0


def reconstruct(arguments: list[str]) -> int:
    """Restore inputs into a folder; or draw the run's own beside their reconstructions."""
    from aelab.cli.options import ReconstructOptions

    options = parse(ReconstructOptions, "reconstruct", arguments, "Restore inputs by a run.")
    from aelab.apps.restore import reconstruct

    if options.data is None:
        run = opened_run(options)
        picture = run.reconstructions(options.split, data_dir=options.data_dir)
        print(write_picture(options.out or run.folder / "reconstructions.png", picture))
        return 0
    if options.out is None:
        raise AelabError("name a new folder for what is restored with --out")
    apply = partial(reconstruct, folder=options.out, side_by_side=options.side_by_side)
    return applied("reconstruct", options, options.data, options.out, apply)


def denoise(arguments: list[str]) -> int:
    """Remove noise from inputs, by a run that was trained to."""
    from aelab.cli.options import DenoiseOptions

    options = parse(DenoiseOptions, "denoise", arguments, "Remove noise from inputs.")
    from aelab.apps.restore import denoise

    apply = partial(
        denoise,
        folder=options.out,
        side_by_side=options.side_by_side,
        noise_level=options.noise_level,
    )
    return applied("denoise", options, options.data, options.out, apply)


def encode(arguments: list[str]) -> int:
    """Write the codes of inputs, with their names and labels."""
    from aelab.cli.options import EncodeOptions

    options = parse(EncodeOptions, "encode", arguments, "Write the codes of inputs.")
    from aelab.apps.encode import encode

    return applied("encode", options, options.data, options.out, partial(encode, path=options.out))


def impute(arguments: list[str]) -> int:
    """Fill in the missing values of a table, and measure how well on hidden ones."""
    from aelab.cli.options import ImputeOptions

    options = parse(ImputeOptions, "impute", arguments, impute.__doc__)
    from aelab.apps.impute import impute as fill

    run = opened_run(options)
    data = run.data_to_fit(options.data_dir)
    found = fill(run, options.data, data, options.out, said=said_by(run, options))
    print(f"{counted(found.filled, 'value')} filled in: {options.out}\n{found.told}")
    return 0


def sample(arguments: list[str]) -> int:
    """Draw new images from a trained run."""
    from aelab.cli.options import SampleOptions

    options = parse(SampleOptions, "sample", arguments, sample.__doc__)
    from aelab.apps.generate import refuse_samples, write_samples
    from aelab.cli.screen import counting

    run = opened_run(options)
    suffix = {"images": "png", "rows": "csv"}.get(run.spec.kind, "npy")
    out = options.out or run.folder / f"samples.{suffix}"
    refuse_samples(run, options.n, out, options.temperature)  # before anything is fitted
    prior = run.priors.asked_for(options.prior, lambda: run.data_to_fit(options.data_dir))
    with counting("sample", options.n) as on_done:
        write_samples(
            run,
            options.n,
            out,
            prior=prior,
            seed=options.seed,
            temperature=options.temperature,
            class_name=options.class_name,
            on_done=on_done,
        )
    why = run.priors.choice.told if options.prior is None else ""
    print(f"Codes drawn from {prior.told}{f' ({why})' if why else ''}")
    print(out)
    return 0


def interpolate(arguments: list[str]) -> int:
    """Draw the way from one image to another through a run's codes."""
    from aelab.cli.options import InterpolateOptions

    options = parse(InterpolateOptions, "interpolate", arguments, interpolate.__doc__)
    from aelab.apps.generate import interpolation

    run = opened_run(options)
    picture = interpolation(
        run, options.first, options.last, steps=options.steps, data_dir=options.data_dir
    )
    print(write_picture(options.out or run.folder / "interpolation.png", picture))
    return 0


def links(arguments: list[str]) -> int:
    """Find the likeliest missing links of a graph, or score given pairs, by a trained run."""
    from aelab.cli.options import LinksOptions

    options = parse(LinksOptions, "links", arguments, links.__doc__)
    from aelab.apps.links import score_pairs, top_missing_links, write_embeddings, write_links
    from aelab.data.edge_list import read_pairs

    run, data = opened(options, options.data_dir)
    model, graph = run.link_model, run.graph(data)
    if options.pairs is None:
        found = top_missing_links(model, graph, options.top)
    else:
        found = score_pairs(model, graph, read_pairs(options.pairs, graph.kinds))
    if options.embeddings is not None:
        write_embeddings(options.embeddings, model, graph)
        print(f"Codes of the nodes: {options.embeddings}")
    out = options.out or run.folder / "links.csv"
    write_links(out, found)
    for source, target, score in found[:SHOWN]:
        print(f"{source} {target} {score:.3f}")
    print(f"{counted(len(found), 'link')}: {out}")
    return 0


def compare(arguments: list[str]) -> int:
    """Train the rows of a study, and write its table and its page."""
    from aelab.studies.asked import CompareOptions

    options = parse(CompareOptions, "compare", arguments, compare.__doc__)
    for own in options.model:
        import_own_class(own)
    if options.study == "adbench":
        from aelab.cli.benchmark import compare_adbench

        return EXIT_FAILED if compare_adbench(options).errors else 0
    from rich.console import Console
    from rich.text import Text

    from aelab.api import compare_asked, write_page
    from aelab.cli.screen import print_table
    from aelab.machine import cores, keep_freed_memory
    from aelab.studies.answers import answers
    from aelab.studies.tables import as_rich

    keep_freed_memory()
    result = compare_asked(options, plain=True)
    results = result.results
    console = Console(highlight=False)
    for line in answers(results):
        console.print(Text.assemble((line.lead, "bold"), " ", line.text))
    console.print()
    print_table(lambda left_out: as_rich(results, left_out), console)
    print(f"All figures: {result.folder}/results.md, .csv and .json")
    warn(result.notes)
    for label, error in result.errors.items():
        print(f"aelab: row {label} failed: {error}", file=sys.stderr)
    if (page := write_page(result, options, at_once=cores())) is not None:
        print_page(page)
    return EXIT_FAILED if result.errors else 0


def report(arguments: list[str]) -> int:
    """Draw a run or a study: one page with its table and every figure."""
    from aelab.cli.options import ReportOptions

    options = parse(ReportOptions, "report", arguments, report.__doc__)
    if options.model is not None:
        import_own_class(options.model)
    from aelab import api
    from aelab.machine import cores

    page = api.report(
        options.folder,
        out=options.out,
        classes=options.classes,
        data_dir=options.data_dir,
        at_once=cores(),
    )
    print_page(page)
    return 0


def push(arguments: list[str]) -> int:
    """Put a trained run, with a card of its figures, on the Hugging Face Hub."""
    from aelab.cli.options import PushOptions

    options = parse(PushOptions, "push", arguments, push.__doc__)
    run = opened_run(options)
    print(run.push(options.name, private=options.private, license=options.license))
    return 0


def completion(arguments: list[str]) -> int:
    """Print a script that completes verbs and options in bash, zsh or fish."""
    from aelab.cli.options import CompletionOptions

    options = parse(CompletionOptions, "completion", arguments, completion.__doc__)
    from aelab.cli.completion import script

    print(script(options.shell, VERBS), end="")
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    verb.__name__: verb
    for verb in (
        models,
        train,
        evaluate,
        encode,
        reconstruct,
        denoise,
        impute,
        sample,
        interpolate,
        anomalies,
        links,
        export,
        compare,
        choose,
        report,
        explore,
        runs,
        verify,
        push,
        completion,
    )
}
