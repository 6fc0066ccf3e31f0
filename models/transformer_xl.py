"""Transformer-XL (Dai et al. 2019): a decoder with relative positions and a memory of the segments before."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm as with_weight_norm

Memory = list[Tensor]  # of each layer: its inputs at the words before, [B, M, width]


class RelativeAttention(nn.Module):
    """Causal attention over a segment and its memory, by content and by distance (Section 3.3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.distance, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(5)
        )

    def forward(self, x: Tensor, memory: Tensor, waves: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """x: [B, L, width]; memory: [B, M, width]; waves: of the distances M + L - 1 to 0, [M + L, width].

        u, v: what every query adds for content and for distance, [width].
        """
        whole, length = torch.cat((memory, x), 1), x.shape[1]
        query, key, value = self.query(x), self._split(self.key(whole)), self._split(self.value(whole))
        content = self._split(query + u) @ key.transpose(2, 3)
        distance = self._split(query + v) @ self._split(self.distance(waves)[None]).transpose(2, 3)
        ahead = torch.arange(whole.shape[1], device=x.device) - torch.arange(length, device=x.device)[:, None]
        column = (length - 1 + ahead).clamp(max=whole.shape[1] - 1)  # which distance lies between a query and a key
        scores = content + distance.gather(3, column.expand_as(distance))
        scores = scores.masked_fill(ahead > memory.shape[1], -torch.inf) / math.sqrt(key.shape[3])
        attended: Tensor = self.out((scores.softmax(3) @ value).transpose(1, 2).flatten(2))
        return attended

    def _split(self, x: Tensor) -> Tensor:
        """Return [B, heads, N, width / heads]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Layer(nn.Module):
    """Attention and a two-layer map, each followed by dropout, the sum with its input, and a norm."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.drop = RelativeAttention(width, heads), nn.Dropout(dropout)
        self.map = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor, memory: Tensor, waves: Tensor, u: Tensor, v: Tensor) -> Tensor:
        x = self.norms[0](x + self.drop(self.attention(x, memory, waves, u, v)))
        y: Tensor = self.norms[1](x + self.drop(self.map(x)))
        return y


class TransformerXL(nn.Module):
    """The language model; its output layer shares the embedding's matrix.

    memory: words that each layer keeps. weight_norm: every linear map has a direction and a length (Salimans and
    Kingma 2016), which makes its directions scale-invariant, as AdamP's Table 5 has it. The softmax is over all words,
    where the authors' code has an adaptive one: 1,233 parameters fewer on WikiText-103.
    """

    def __init__(
        self, num_classes: int, layers: int = 16, width: int = 410, heads: int = 10, inner: int = 2100,
        memory: int = 150, dropout: float = 0.1, weight_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if width % heads:
            raise ValueError(f"model.heads: {heads} does not divide model.width={width}")
        self.memory, self.drop = memory, nn.Dropout(dropout)
        self.words = nn.Embedding(num_classes, width)
        self.output_bias = nn.Parameter(torch.zeros(num_classes))
        self.content_bias, self.distance_bias = (nn.Parameter(torch.empty(width)) for _ in range(2))
        self.layers = nn.ModuleList(Layer(width, heads, inner, dropout) for _ in range(layers))
        for parameter in self.parameters():  # as the authors' code draws them; biases and norms stay as they are
            if parameter.ndim > 1 or parameter is self.content_bias or parameter is self.distance_bias:
                nn.init.normal_(parameter, std=0.02)
        for module in [m for m in self.modules() if weight_norm and isinstance(m, nn.Linear)]:
            with_weight_norm(module)

    def forward(self, words: Tensor, carried: Memory | None = None) -> tuple[Tensor, Memory, Tensor]:
        """words: [B, L]; returns logits [B, L, V], each layer's memory, and no penalty."""
        x = self.drop(self.words(words) * math.sqrt(self.words.embedding_dim))
        before = [x[:, :0]] * len(self.layers) if carried is None else carried
        waves, remembered = self.drop(sinusoids(before[0].shape[1] + x.shape[1], x)), []
        for layer, memory in zip(self.layers, before, strict=True):
            remembered.append(torch.cat((memory, x), 1)[:, -self.memory :] if self.memory else x[:, :0])
            x = layer(x, memory, waves, self.content_bias, self.distance_bias)
        logits = F.linear(self.drop(x), self.words.weight, self.output_bias)
        return logits, remembered, logits.new_zeros(())


def sinusoids(count: int, like: Tensor) -> Tensor:
    """Return the sines and cosines of the distances count - 1 to 0, [count, width], of the type of `like`."""
    width = like.shape[2]
    rates = 10_000 ** (-torch.arange(0, width, 2, device=like.device) / width)
    angles = torch.arange(count - 1, -1, -1, device=like.device)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), 1)[:, :width].to(like.dtype)


# The net of text_small: 941,960 parameters for 5,000 words.
transformer_xl_small = partial(TransformerXL, layers=2, width=128, heads=4, inner=256, memory=35)
