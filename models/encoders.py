"""Encoders of the transformers library with a fresh head, for the span of a text that answers and for choices."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """A net of transformers' auto class `head`, fed with rows of tokens as data/reading.py makes them.

    BERT-base has 108,893,186 parameters with the head for spans, 109,483,009 with that for choices.
    """

    def __init__(
        self, head: str, num_classes: int, layers: int = 12, width: int = 768, heads: int = 12, inner: int = 3072,
        dropout: float = 0.1, weights: str | None = None,
    ) -> None:  # fmt: skip
        """weights: the folder of a pretrained net, which then says all sizes itself; without it: a fresh BERT.

        num_classes: words. With BERT-base's 0.02 as the deviation of fresh weights, whatever the width, the small nets
        here were still guessing after 1,400 steps. Raises ImportError or ValueError, one line.
        """
        super().__init__()
        try:
            import transformers
        except ImportError as error:
            raise ImportError("model: transformers not found; pip install transformers") from error
        if width % heads:
            raise ValueError(f"model.heads: {heads} does not divide model.width={width}")
        sizes = transformers.BertConfig(
            vocab_size=num_classes, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=inner, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
            initializer_range=0.02 * (768 / width) ** 0.5,
        )  # fmt: skip
        kind = getattr(transformers, head)
        try:
            self.net = (
                kind.from_pretrained(Path(weights), local_files_only=True) if weights else kind.from_config(sizes)
            )
        except Exception as error:  # whatever the library raises for a folder of something else
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ValueError(f"model.weights: {weights}: no pretrained net: {said}") from error
        self.typed = getattr(self.net.config, "type_vocab_size", 0) > 1  # RoBERTa and DistilBERT take no types

    def forward(self, rows: Tensor) -> Tensor:
        """rows: [B, 5, L] gives logits [B, 2, L] of a span's first and last token; [B, C, 5, L] logits [B, C]."""
        ids, types, mask = rows.unbind(-2)[:3]
        more = {"token_type_ids": types} if self.typed else {}
        answers: tuple[Tensor, ...] = self.net(input_ids=ids, attention_mask=mask, return_dict=False, **more)
        return torch.stack(answers, 1) if len(answers) == 2 else answers[0]


span_encoder = partial(Encoder, "AutoModelForQuestionAnswering")
choice_encoder = partial(Encoder, "AutoModelForMultipleChoice")
# The nets of spans_small and choices_small.
span_encoder_small = partial(span_encoder, layers=2, width=64, heads=4, inner=128)
choice_encoder_small = partial(choice_encoder, layers=2, width=64, heads=4, inner=128)
