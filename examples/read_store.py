"""A store as a pandas DataFrame: one row a finished run.

    python examples/read_store.py [STORE]

Prints mean, standard deviation and number of seeds of each configuration of STORE (default: results, the runs that come
with the suite), for each test metric. Nothing in a store is executed, so it may be anyone's; torch is not imported.
"""

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from record.read import read_store


def frame(store: str | Path) -> pd.DataFrame:
    """Return the finished runs of a store; what cannot be read is named on stderr.

    Columns: folder, seed, data, model, optimizer, state, group_id (equal for all seeds of a configuration), the
    configuration (`config.optimizer.lr`, ...) and the measurements (`metrics.test_top1`, ...).
    """
    rows, complaints = read_store(store)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return pd.DataFrame(rows)


def summary(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return mean, standard deviation and number of seeds of `metric`, one row a configuration that has it."""
    by = ["data", "model", "optimizer", "config.optimizer.lr", "group_id"]
    return runs.dropna(subset=[metric]).groupby(by, dropna=False)[metric].agg(["mean", "std", "count"]).round(2)


def main(store: str | Path = ROOT / "results") -> None:
    runs = frame(store)
    measured = (name for name in sorted(runs.columns) if name.startswith("metrics.test_"))
    for metric in measured:  # of all tasks: accuracies in %, losses in nats, perplexities, ...
        print(f"{metric}\n{summary(runs, metric).to_string()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
