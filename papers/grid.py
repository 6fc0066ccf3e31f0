"""Products of lists, as the rows and columns of a table and the grid of a sweep file are written. Torch-free.

    {optimizer: sing, optimizer.denominator: [softplus, eps], label: x}     two entries, both with the label

A value that is itself a list is written as a list in a list.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeVar

from conf import grammar, groups, yamls
from conf.errors import UsageError

ABOUT = ("label", "published", "seeds")  # words of a block that describe its entries and are no coordinates
Entry = dict[str, Any]
Item = TypeVar("Item")


def blocks(where: str, value: Any, small: bool) -> list[Entry]:
    """Expand a block, or each of a list of them. small: takes the ends of each list of values alone."""
    listed = [keys(where, block) for block in yamls.blocks(where, value)]
    return [entry for block in listed for entry in _expanded(block, small)]


def keys(where: str, value: Any) -> Entry:
    """Return a mapping of overrides. Raises UsageError for one that a run's command line would drop without a word."""
    for key, entry in yamls.mapping(where, value).items():
        if key == "seed":
            raise UsageError(f"{where}: seed: {entry!r}; the seeds of a file are `seeds: [0, 1]`")
        if key in groups.GROUPS and isinstance(entry, dict):
            raise UsageError(f"{where}: {key}: {entry!r} is no option; a key of it is written {key}.<key>: value")
    return dict(value)


def kept(
    where: str, items: Sequence[Item], excluded: Sequence[Entry], place: Callable[[Item], Entry], small: bool
) -> list[Item]:
    """Return the items that no entry of `excluded` fits. A list in an entry holds several values.

    place: the coordinates of an item. Raises UsageError for an entry that excludes nothing, unless the file is cut
    (`small`).
    """
    left = list(items)
    for entry in excluded:
        values = {key: yamls.as_list(value) for key, value in entry.items()}
        rest = [item for item in left if not _fits(place(item), values)]
        if len(rest) == len(left) and not small:
            words = " ".join(grammar.word(key, value) for key, value in entry.items())
            raise UsageError(f"{where}: {words} excludes nothing")
        left = rest
    return left


def _fits(place: Entry, values: dict[str, list[Any]]) -> bool:
    return all(key in place and place[key] in allowed for key, allowed in values.items())


def ends(values: list[Any]) -> list[Any]:
    return values if len(values) < 3 else [values[0], values[-1]]


def _expanded(block: Entry, small: bool) -> list[Entry]:
    """Return the product over a block's list-valued keys, each entry with the block's descriptions."""
    about = {key: value for key, value in block.items() if key in ABOUT}
    lists = {key: yamls.as_list(value) for key, value in block.items() if key not in ABOUT}
    chosen = [ends(values) if small else values for values in lists.values()]
    return [dict(zip(lists, values, strict=True)) | about for values in product(*chosen)]
