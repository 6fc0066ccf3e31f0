"""What a keyword may be and what it means, written once: in the signature, beside its name and default.

    def __init__(self, params: ParamsT, lr: Rate = 1e-3, delta: Annotated[Positive, "threshold of the cosine"] = 0.1)

An annotation has what is allowed (`In`), and may have words; of several the last are meant. From these come the check
of a stage's numbers (`Hyper`), the `Args` of an optimizer's docstring (`documented`), and a test of the yamls.
"""

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

Allowed = str | Sequence[str]


class In(NamedTuple):
    """An interval as text ("[0, 1)"; of a pair "[0, 1) and [0, 1)"), or the words to choose from."""

    allowed: Allowed


Rate = Annotated[float, In("[0, inf)"), "learning rate"]
WeightDecay = Annotated[float, In("[0, inf)"), "coefficient of weight decay"]
Momentum = Annotated[float, In("[0, 1)"), "decay of the momentum"]
Betas = Annotated[tuple[float, float], In("[0, 1) and [0, 1)"), "beta_1 and beta_2, decays of m and v"]
Eps = Annotated[float, In("[0, inf)"), "epsilon"]
NotNegative = Annotated[float, In("[0, inf)")]
Positive = Annotated[float, In("(0, inf)")]
Share = Annotated[float, In("[0, 1]")]
Count = Annotated[int, In("[1, inf)")]
Seed = Annotated[int, In("[0, inf)"), "of the random draws"]


class Keyword(NamedTuple):
    """What a signature says of a keyword."""

    allowed: Allowed | None
    meaning: str


def keywords(made: Callable[..., object]) -> dict[str, Keyword]:
    """Return what the annotations in the signature of a class or function say, by keyword."""
    return {name: _keyword(parameter.annotation) for name, parameter in inspect.signature(made).parameters.items()}


def ranges(made: Callable[..., object]) -> dict[str, Allowed]:
    """Return what is allowed, of those keywords whose annotations say it."""
    return {name: keyword.allowed for name, keyword in keywords(made).items() if keyword.allowed is not None}


def documented(cls: type) -> str:
    """Return the docstring of a class with the `Args` that its signature has words for before its references."""
    text = inspect.cleandoc(cls.__doc__ or "")
    before, references, after = text.partition("References: ")
    lines = [_line(name, keyword) for name, keyword in keywords(cls).items() if keyword.meaning]
    return f"{before}Args:\n{''.join(lines)}\n{references}{after}" if lines else text


def _keyword(annotation: Any) -> Keyword:
    facts = getattr(annotation, "__metadata__", ())
    allowed = [fact.allowed for fact in facts if isinstance(fact, In)]
    words = [fact for fact in facts if isinstance(fact, str)]
    return Keyword(allowed[-1] if allowed else None, words[-1] if words else "")


def _line(name: str, keyword: Keyword) -> str:
    text = f"{name}: {keyword.meaning}"
    if isinstance(keyword.allowed, str):
        text += f", in {' and '.join(dict.fromkeys(keyword.allowed.split(' and ')))}"
    return textwrap.fill(f"{text}.", 112, initial_indent="    ", subsequent_indent="        ") + "\n"
