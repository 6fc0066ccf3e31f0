"""Each optimizer's docstring has every argument, its source and an example; each public method of the room has one."""

import importlib
import inspect
import pkgutil

import pytest

import optim
from optim.chain import Chain

OPTIMIZERS = [made for made in vars(optim).values() if isinstance(made, type) and issubclass(made, Chain)]
MODULES = [importlib.import_module(found.name) for found in pkgutil.walk_packages(optim.__path__, "optim.")]
CLASSES = [
    made
    for module in MODULES
    for made in vars(module).values()
    if inspect.isclass(made) and made.__module__ == module.__name__
]


@pytest.mark.parametrize("made", [made for made in OPTIMIZERS if made is not Chain], ids=lambda made: made.__name__)
def test_an_optimizer_explains_its_arguments(made: type[Chain]) -> None:
    text = inspect.getdoc(made) or ""
    missing = [name for name in inspect.signature(made).parameters if f"\n    {name}: " not in text]
    assert missing == ["params", "options"]  # which mean the same everywhere: see Chain
    assert "\nReferences: " in text
    assert f">>> optimizer = {made.__name__}(" in text
    raising = text + (inspect.getdoc(inspect.getmodule(made)) or "")
    assert "ValueError" in raising.replace("\n", " ")


@pytest.mark.parametrize("made", CLASSES, ids=lambda made: f"{made.__module__}.{made.__name__}")
def test_every_public_method_is_documented_here_or_where_it_is_declared(made: type) -> None:
    public = [name for name, member in vars(made).items() if not name.startswith("_") and inspect.isroutine(member)]
    assert not [name for name in public if not inspect.getdoc(getattr(made, name))]
