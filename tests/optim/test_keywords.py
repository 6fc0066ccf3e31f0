"""A keyword's range and meaning are written in its signature alone: checks, docstrings, yamls and `describe` agree."""

import inspect
from typing import Annotated

import pytest
from torch.nn import Parameter

import optim
from conf import groups
from optim import library
from optim.chain import RANGES
from optim.stages import by_name
from optim.stages.base import Evaluation, Stage
from optim.stages.keywords import Count, In, Share, documented, keywords, ranges

OURS = [name for name in optim.list_optimizers() if library.option(name)["target"].startswith("optim.")]


def plain(allowed):
    """A range in one form: two intervals alike are one; `whole`, in a yaml, is left out (a signature has int)."""
    if not isinstance(allowed, str):
        return sorted(allowed)
    return " and ".join(dict.fromkeys(allowed.removeprefix("whole ").split(" and ")))


@pytest.mark.parametrize("name", OURS)
def test_a_yaml_has_the_ranges_of_the_signature(name):
    option = groups.raw("optimizer", name)
    said = ranges(library.resolve(option["target"]).__init__)
    listed = {key: allowed for key, allowed in option["ranges"].items() if key in said}
    assert {key: plain(allowed) for key, allowed in said.items()} == {key: plain(a) for key, a in listed.items()}


def is_made_of_defaults(part: type) -> bool:
    return all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in inspect.signature(part).parameters.values())


KNOWN = {**by_name.known(Stage), **by_name.known(Evaluation)}
PARTS = {name: part for name, part in KNOWN.items() if is_made_of_defaults(part)}


@pytest.mark.parametrize("name", PARTS)
def test_a_number_of_a_stage_has_a_range(name):
    """What lives in the param groups may be changed there, so it is checked there."""
    made = PARTS[name]()
    numbers = {key for key, value in made.hyper.items() if not isinstance(value, bool | str)}
    assert numbers - {*made.annotated, *made.ranges, *RANGES} <= {"d", "d_max", "d_numerator", "scale", "applied"}


class Plain:
    """Plain: w <- w - lr u.

    References: none.
    """

    def __init__(
        self,
        lr: Annotated[Share, "the rate"] = 0.5,
        pair: Annotated[tuple[float, float], In("[0, 1) and [0, 1)"), "two"] = (0.1, 0.1),
        kind: Annotated[str, In(("a", "b")), '"a" or "b"'] = "a",
        k: Annotated[Count, "steps"] = 1,
        quiet: bool = True,
    ) -> None: ...


def test_a_docstring_gets_its_arguments():
    assert documented(Plain) == (
        "Plain: w <- w - lr u.\n\nArgs:\n    lr: the rate, in [0, 1].\n    pair: two, in [0, 1).\n"
        '    kind: "a" or "b".\n    k: steps, in [1, inf).\n\nReferences: none.'
    )
    assert keywords(Plain.__init__)["k"] == ("[1, inf)", "steps")
    assert ranges(Plain.__init__) == {
        "lr": "[0, 1]",
        "pair": "[0, 1) and [0, 1)",
        "kind": ("a", "b"),
        "k": "[1, inf)",
    }


def test_a_subclass_keeps_the_ranges_of_its_base():
    class mine(optim.stages.adam):
        def __init__(self, betas=(0.9, 0.999), eps=1e-8):
            super().__init__(betas, eps)

    with pytest.raises(ValueError, match=r"^eps=-1 is not allowed: choose numbers in \[0, inf\)$"):
        optim.Chain([Parameter()], [mine(eps=-1)], lr=0.1)
