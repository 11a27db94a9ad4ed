"""A run's model card: its own figures, with those of PCA beside them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aelab.evaluate.columns import METRICS
from aelab.runs.store import Run

PCA = "pca_"
"""What the name of a figure of PCA begins with."""

CARD = """---
{front}
---

# {title}

{what}

| figure, on the {split} split | this run | PCA, as many numbers |
| --- | ---: | ---: |
{rows}

## Use it

```python
import aelab

run = aelab.load("hf://{name}")
z = run.encode(x)           # inputs as they are stored; see the settings in config.json
x_hat = run.decode(z)
```

Only safetensors and JSON are in this repository, and aelab reads nothing else of it.
"""


def model_card(run: Run, name: str, license: str | None = None) -> str:
    """The README.md of a run's repository."""
    metrics, settings = run.metrics, run.settings
    front = ["library_name: aelab", "tags:", "- autoencoder", f"- {json.dumps(settings.model)}"]
    front += [f"license: {json.dumps(license)}"] if license else []
    over = f" over the network `{settings.network}`" if settings.network else ""
    what = (
        f"An autoencoder, `{settings.model}`{over}, of {metrics['parameters']:,} parameters, with "
        f"a code of {metrics['code_size']:,} numbers, trained by aelab "
        f"{run.config.get('versions', {}).get('aelab', '')} with seed {settings.seed}."
    )
    return CARD.format(
        front="\n".join(front),
        title=name.partition("/")[2],
        what=what,
        split=metrics["split"],
        rows="\n".join(rows(metrics)),
        name=name,
    )


def rows(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A row for each figure that there is a number of, and PCA's where it has one."""
    for name, metric in METRICS.items():
        value = metrics.get(name)
        if name.startswith(PCA) or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        of_pca = metrics.get(f"{PCA}{name}")
        beside = f"{of_pca:,.{metric.digits}f}" if isinstance(of_pca, int | float) else "–"
        title = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
        yield f"| {title} | {value:,.{metric.digits}f} | {beside} |"
