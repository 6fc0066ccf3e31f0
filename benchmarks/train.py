"""Images per second of train.py beside bare loops, in turns, on one machine: `python -m benchmarks.train [--rounds 5]`.

Three ways to take the same steps of ResNet18 on synthetic CIFAR-10: train.py's own loop in bf16 and channels_last; the
shortest loop one would write by hand with the same settings; and the papers' loop, fp32 in the plain layout.
Beside them the share of the time that checkpoints take, at the default cadence.

--tune compares threads, number formats and layouts on the nets of the study (docs/study.md) instead; what is best there
is frozen in conf/protocol/study.yaml, never chosen by a machine.
"""

import sys

from benchmarks import parser, write
from conf.cli import guarded, whole


def main() -> None:
    """Measure; prints a line each and writes the JSON."""
    options = parser("train", __doc__, rounds=5)
    options.add_argument("--steps", type=whole("[1, inf)"), default=4)
    options.add_argument("--tune", action="store_true", help="the study's nets: threads, number formats, layouts")
    given = options.parse_args()
    from benchmarks import loops

    if given.tune:
        rates, facts = loops.tune(given.rounds, given.steps), {}
    else:
        rates, share = loops.measure(given.rounds, given.steps)
        facts = {"checkpoint_share": share}
        print(f"checkpoints, at the default cadence, take {share:.3%} of the time")
    for name, rate in rates.items():
        ratio = "" if given.tune else f"   train.py is {rates['train.py'] / rate:.2f} of it"
        print(f"{name:60} {rate:8.0f} images/s{ratio}")
    write(given.out, {"rounds": given.rounds, "images_per_second": rates, **facts})


if __name__ == "__main__":
    sys.exit(guarded(main))
