"""The next word of a text: truncated back-propagation through time over windows that follow each other.

The net is called with words [B, L] and with what it carried from the window before (None at the start), and returns
logits [B, L, V], what it carries on, and a penalty that is added to the training loss.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from training.meter import Meter, Scores
from training.mixing import Batch, mapped
from training.runtime import Model
from training.tasks.base import Carried, Split, Task, Turn


class Language(Task):
    """Cross-entropy a word; measures loss and perplexity, its exponential.

    A batch is as many columns as batch_size says, each a stretch of the text of its own; an epoch goes through all of
    them in windows. An evaluation has columns and windows of its own, whatever evaluate.batch_size is.
    """

    def __init__(self, bptt: int = 70, random_length: bool = True, eval_columns: int = 10, eval_bptt: int = 70) -> None:
        """bptt: words in a window. random_length: see `lengths`. eval_columns, eval_bptt: of an evaluation."""
        self.bptt, self.random_length = bptt, random_length
        self.eval_columns, self.eval_bptt = eval_columns, eval_bptt

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return the windows of an epoch, in the order of the text, [batch_size, length] each."""
        total = len(split) // batch_size
        if not total:
            raise ValueError(f"batch_size: {batch_size} columns of a text of {len(split)} words")
        cut = lengths(total, self.bptt, generator) if self.random_length else None
        return windows(total, batch_size, cut or self.bptt)

    def held_out(self, split: Split, batch_size: int) -> Sequence[Tensor]:
        """Return the windows of an evaluation."""
        columns = min(self.eval_columns, len(split))
        return windows(len(split) // columns, columns, self.eval_bptt)

    def rate(self, positions: Tensor) -> float:
        """Return a random window's share of `bptt`: the learning rate goes with it (Merity et al. 2018, 4.1)."""
        return positions.shape[1] / self.bptt if self.random_length else 1.0

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the mean cross-entropy of a window's words, and the net's penalty."""
        losses, turn.carried, penalty = self.read(model, batch, turn.carried)
        if turn.meter is not None:
            turn.meter.update({"loss": losses.detach()})
        return losses.mean() + penalty

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Read the windows one after the other."""
        carried: Carried = None
        for batch in batches:
            losses, carried, _ = self.read(model, batch, carried)
            meter.update({"loss": losses})

    def read(self, model: Model, batch: Batch, carried: Carried) -> tuple[Tensor, Carried, Tensor]:
        """Return the cross-entropy of each word, [B * L], what is carried on, without its graph, and the penalty."""
        words, following = batch
        logits, carried, penalty = model(words, carried)
        losses = F.cross_entropy(logits.float().flatten(0, 1), following.flatten(), reduction="none")
        return losses, mapped(carried, Tensor.detach), penalty

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return the logits of a window."""
        return torch.as_tensor(model(batch[0], None)[0])

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the loss and the perplexity."""
        return means | {"perplexity": means["loss"].exp()}


def lengths(total: int, bptt: int, generator: torch.Generator) -> list[int]:
    """Return random lengths of windows that fill `total` words.

    They are drawn as AWD-LSTM draws them (Merity et al. 2018, 4.1): normal around bptt, or with probability 0.05 around
    half of it, with a standard deviation of 5, at least 5. Here every epoch has as many windows, those that the mean
    length makes, and the lengths drawn are stretched to fill the text: by 1 % on the Penn Treebank in 80 columns.
    """
    count = max(1, round(total / (0.975 * bptt)))
    around = torch.where(torch.rand(count, generator=generator) < 0.95, float(bptt), bptt / 2)
    drawn = (around + 5 * torch.randn(count, generator=generator)).floor().clamp(min=5)
    ends = (drawn.cumsum(0, dtype=torch.float64) * total / drawn.sum(dtype=torch.float64)).round().long()
    return torch.diff(ends, prepend=torch.zeros(1, dtype=torch.int64)).tolist()


def windows(total: int, columns: int, cut: int | list[int]) -> Sequence[Tensor]:
    """Return the positions of windows [columns, length] that part columns of `total` words each, in order."""
    starts = total * torch.arange(columns)[:, None]
    return [starts + steps for steps in torch.split(torch.arange(total), cut)]
