"""LSTM language models as the code behind RMSGD's Penn Treebank experiment regularises them (Merity et al. 2018)."""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = list[tuple[Tensor, Tensor]]  # of each layer: hidden state and cell, [1, B, width]


class LSTMLanguage(nn.Module):
    """Word embedding, layers of LSTM, and an output layer that shares the embedding's matrix.

    The last layer is as wide as the embedding. Dropped are: whole words of the embedding (dropout_words), the same
    features at every step of the first layer's input (dropout_input), between layers (dropout_hidden) and of the output
    (dropout), and hidden-to-hidden weights (dropout_weights). alpha, beta: weights of the penalties on the last layer's
    activations and on their change from step to step.
    """

    def __init__(
        self, num_classes: int, layers: int = 3, embedding: int = 400, hidden: int = 1150, dropout: float = 0.4,
        dropout_words: float = 0.1, dropout_input: float = 0.4, dropout_hidden: float = 0.25,
        dropout_weights: float = 0.5, alpha: float = 2.0, beta: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.words = nn.Embedding(num_classes, embedding)
        self.output_bias = nn.Parameter(torch.zeros(num_classes))
        widths = [embedding, *[hidden] * (layers - 1), embedding]
        self.layers = nn.ModuleList(nn.LSTM(inputs, width, batch_first=True) for inputs, width in pairwise(widths))
        self.drops = [dropout_input, *[dropout_hidden] * (layers - 1), dropout]
        self.dropout_words, self.dropout_weights, self.alpha, self.beta = dropout_words, dropout_weights, alpha, beta
        nn.init.uniform_(self.words.weight, -0.1, 0.1)

    def forward(self, words: Tensor, carried: State | None = None) -> tuple[Tensor, State, Tensor]:
        """words: [B, L]; returns logits [B, L, V], the layers' last states, and the penalty, 0 in evaluation."""
        raw, state = F.embedding(words, self._kept_words()), []
        for index, layer in enumerate(self.layers):
            start = None if carried is None else carried[index]
            raw, last = self._layer(layer, self._locked(raw, self.drops[index]), start)
            state.append(last)
        outputs = self._locked(raw, self.drops[-1])
        logits = F.linear(outputs, self.words.weight, self.output_bias)
        return logits, state, self._penalty(raw, outputs)

    def _kept_words(self) -> Tensor:
        """Return the embedding without the dropped words."""
        table = self.words.weight
        return table * F.dropout(table.new_ones(len(table), 1), self.dropout_words, self.training)

    def _locked(self, x: Tensor, drop: float) -> Tensor:
        """Drop features of x [B, L, width], the same at every step (Gal and Ghahramani 2016)."""
        return x * F.dropout(x.new_ones(len(x), 1, x.shape[2]), drop, self.training)

    def _layer(
        self, layer: nn.Module, x: Tensor, start: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run one LSTM layer whose hidden-to-hidden weights are dropped, the same at every step (Wan et al. 2013)."""
        inputs, hidden, *biases = layer.parameters()
        weights = [inputs, F.dropout(hidden, self.dropout_weights, self.training), *biases]
        zeros = x.new_zeros(1, len(x), hidden.shape[1])
        raw, h, c = torch.lstm(x, start or (zeros, zeros), weights, True, 1, 0.0, self.training, False, True)
        return raw, (h, c)

    def _penalty(self, raw: Tensor, outputs: Tensor) -> Tensor:
        """Return alpha times the mean square of the outputs, and beta times that of the raw outputs' changes."""
        if not self.training:
            return raw.new_zeros(())
        change = (raw[:, 1:] - raw[:, :-1]).square().sum() / max(1, raw[:, 1:].numel())
        return self.alpha * outputs.square().mean() + self.beta * change


# The net of text_small: 777,096 parameters for 5,000 words.
lstm_small = partial(
    LSTMLanguage, layers=1, embedding=128, hidden=256, dropout=0.1, dropout_words=0.1, dropout_input=0.1,
    dropout_hidden=0.1, dropout_weights=0.1,
)  # fmt: skip
