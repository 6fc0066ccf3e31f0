"""What checks each method: the table of docs/optimizers.md, made of what the tests run over.

`python -m tests.optim.checks` prints it.
"""

from tests.optim import test_capturable, test_compiled, test_curvature, test_peers, test_sharded
from tests.optim.table import ROWS, TESTED_ELSEWHERE

PACKAGES = {"pytorch_optimizer": "pytorch-optimizer"}  # as pip calls them


def table() -> str:
    """The rows of Markdown, one for each method that has code of our own."""
    columns = {"loop": loop, "others": others, "FSDP2": fsdp2, "compile": compiled, "capturable": capturable}
    names = sorted(name for name in ROWS if " " not in name)
    rows = [["id", *columns], ["---"] * (1 + len(columns))]
    rows += [[f"`{name}`", *(column(name) for column in columns.values())] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def loop(name: str) -> str:
    """Where its plain float64 loop is compared, if not in test_reference.py."""
    return f"`{TESTED_ELSEWHERE[name]}`" if name in TESTED_ELSEWHERE else "yes"


def others(name: str) -> str:
    """Who else's implementation it is compared with."""
    found = {case.split()[0]: PACKAGES.get(peer.package, peer.package) + peer.words for case, peer in peers()}
    return found.get(name, "")


def peers() -> list[tuple[str, test_peers.Peer]]:
    """Cases and peers; the first case of a method comes last, and says it."""
    return [*test_peers.PEERS.items(), *test_curvature.PEERS.items()][::-1]


def fsdp2(name: str) -> str:
    """Whether two processes with shards are one without."""
    return "refused" if name in test_sharded.REFUSED else "yes" if ("rows", name) in test_sharded.CASES else ""


def compiled(name: str) -> str:
    """Whether compiled steps are compared with eager ones."""
    return "yes" if name in test_compiled.NAMES else ""


def capturable(name: str) -> str:
    """Whether a step with capturable=True reads nothing from the device, or why not."""
    return f"no: {test_capturable.REFUSED[name]}" if name in test_capturable.REFUSED else "yes"


if __name__ == "__main__":
    print(table())
