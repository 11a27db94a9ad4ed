"""What an encoder is shown of rows in which values are missing."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.batch import Batch
from aelab.data.preparation import unknown
from aelab.data.specs import Columns

HIDDEN = 0.2
"""Share of the known values that are hidden from the encoder in a step of training."""


class MissingValues(nn.Module):
    """Rows as an encoder sees them: ``x + U m``, m 1 where a value is missing and else 0.

    What is added to a row for each missing value is learnt; U begins at 0, where a missing number
    is the mean. In training a share of the known values is hidden too, each column's by itself, as
    if it were missing: the loss asks for it all the same, and so the encoder learns to find it in
    the others (masking noise: Vincent et al. 2010, section 3.3; for gaps in tables: Gondara & Wang
    2018, arXiv 1705.02737).

    Args:
        columns: The columns of the rows.

    >>> rows = MissingValues(Columns(("a", "b"), (0.0, 0.0), (1.0, 1.0), mask=True)).eval()
    >>> rows(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]], grad_fn=<AddBackward0>)
    """

    column_of: Tensor
    unknown: Tensor

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.of_missing = nn.Linear(columns.size, columns.size, bias=False)
        nn.init.zeros_(self.of_missing.weight)
        widths = torch.tensor([block.stop - block.start for block in columns.blocks])
        places = torch.arange(len(widths)).repeat_interleave(widths)
        self.register_buffer("column_of", places, persistent=False)
        self.register_buffer("unknown", unknown(columns).float(), persistent=False)

    def forward(self, x: Float[Tensor, "batch values"]) -> Float[Tensor, "batch values"]:
        """What is seen of a batch, which says what is missing; or all, if it is none."""
        batch = Batch.of(x)
        missing = torch.zeros_like(batch.x, dtype=torch.bool)
        if batch.present is not None:
            missing = ~batch.present
        if self.training:
            columns = int(self.column_of[-1]) + 1
            hidden = torch.rand(len(missing), columns, device=missing.device) < HIDDEN
            missing = missing | hidden[:, self.column_of]
        known = torch.where(missing, self.unknown, batch.x)
        added: Tensor = self.of_missing(missing.to(known))
        return known + added
