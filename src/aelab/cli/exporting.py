"""The verb `aelab export`."""

from aelab.cli.opening import opened_run, parse


def export(arguments: list[str]) -> int:
    """Write a trained run as ONNX, or for torch.export: a file that needs no aelab."""
    from aelab.cli.export_options import ExportOptions

    options = parse(ExportOptions, "export", arguments, export.__doc__)
    found = opened_run(options).export(
        options.out,
        options.part,
        score=options.score,
        rate=options.false_alarm_rate,
        data=options.data,
        data_dir=options.data_dir,
        without_data=options.without_data,
    )
    takes, gives = (", ".join(port.told for port in ports) for ports in (found.takes, found.gives))
    print(f"{takes} -> {gives}")
    if found.limit is not None:
        print(
            f"Anomalies have a {found.score} score above {found.limit.score:.6g}; "
            f"{found.limit.told}"
        )
    print(f"It computes what the run does, on {found.checked}: {found.path}")
    return 0
