"""What probes cost, on the device at hand: `python -m benchmarks.probe [--rounds 5]`.

Per step: ResNet20 with norms and spherical at every step beside without, in turns. Per epoch: ranks of ResNet18 beside
390 of its steps. Batches of 128 images of 32x32.
"""

import sys

from benchmarks import parser, write
from conf.cli import guarded


def main() -> None:
    """Measure; prints a line each and writes the JSON."""
    given = parser("probe", __doc__, rounds=5).parse_args()
    from benchmarks.watched import cost

    found = cost(given.rounds)
    print(f"norms and spherical at every step of ResNet20: {found['share_of_a_step']:.1%} of its time (wanted < 10 %)")
    print(f"ranks after each epoch of ResNet18: {found['share_of_an_epoch']:.2%} of its time (wanted < 1 %)")
    write(given.out, {"rounds": given.rounds, **found})


if __name__ == "__main__":
    sys.exit(guarded(main))
