"""The encoder-decoder transformer (Vaswani et al. 2017) of the sizes that fairseq has for IWSLT14."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.transformer_xl import sinusoids

PAD = 0


class Transformer(nn.Module):
    """Torch's post-norm layers, sinusoidal positions, and one matrix for both embeddings and the output layer."""

    def __init__(
        self, num_classes: int, layers: int = 6, width: int = 512, heads: int = 4, inner: int = 1024,
        dropout: float = 0.3,
    ) -> None:  # fmt: skip
        super().__init__()
        if width % heads:
            raise ValueError(f"model.heads: {heads} does not divide model.width={width}")
        self.words, self.drop = nn.Embedding(num_classes, width, padding_idx=PAD), nn.Dropout(dropout)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, inner, dropout, batch_first=True) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(width, heads, inner, dropout, batch_first=True) for _ in range(layers)
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.words.weight, std=width**-0.5)
        nn.init.zeros_(self.words.weight[PAD])

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor:
        """source: [B, S], prefix: [B, T], padded with 0; returns logits [B, T, V] of what follows each prefix."""
        return self.decode(source, self.encode(source), prefix)

    def encode(self, source: Tensor) -> Tensor:
        """Return what the decoder attends to, [B, S, width]."""
        x = self._embedded(source)
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=source == PAD)
        return x

    def decode(self, source: Tensor, memory: Tensor, prefix: Tensor) -> Tensor:
        """Return logits [B, T, V]; memory: of `encode` for the same source."""
        x, length = self._embedded(prefix), prefix.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=prefix.device).triu(1)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=later, memory_key_padding_mask=source == PAD)
        return F.linear(x, self.words.weight)

    def _embedded(self, words: Tensor) -> Tensor:
        x = self.words(words) * math.sqrt(self.words.embedding_dim)
        return torch.as_tensor(self.drop(x + sinusoids(words.shape[1], x).flip(0)))


# The net of translation_small.
transformer_small = partial(Transformer, layers=3, width=128, heads=4, inner=256, dropout=0.1)
