"""A whole store for other tools: as two tables, or as runs of TensorBoard or Weights & Biases."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record.files import Row
from record.lines import read_lines
from record.loggers import MIRRORS, Logged
from record.read import read_store

if TYPE_CHECKING:
    from pandas import DataFrame

Said = list[str]


def export(kind: str, store: Path, out: Path, **options: Any) -> Said:
    """Write a store's finished runs below `out`, or send them.

    kind: csv or parquet (runs: a row each; metrics: a row for each run, step and name), tensorboard or wandb (a run
    each, under its own id). options: of the mirror in record/loggers.py. Returns a line for each run that was left out
    and for what was written. Raises ImportError, naming what to install; OSError.
    """
    if kind == "parquet" and find_spec("pyarrow") is None:
        raise ImportError("--parquet: not installed; pip install pyarrow")
    rows, complaints = read_store(store)
    out.mkdir(parents=True, exist_ok=True)
    said = _mirrored(rows, out, kind, **options) if kind in MIRRORS else _tables(rows, out, kind)
    return [*(f"left out: {line}" for line in complaints), *said]


def _tables(rows: list[Row], out: Path, kind: str) -> Said:
    import pandas

    frames = {"runs": pandas.DataFrame(map(_plain, rows)), "metrics": pandas.DataFrame(_long(rows))}
    for name, frame in frames.items():
        path = out / f"{name}.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else _of_one_type(frame).to_parquet(path, index=False)
    return [f"{out / name}.{kind}: {len(frame)} rows" for name, frame in frames.items()]


def _of_one_type(frame: "DataFrame") -> "DataFrame":
    """Write as text what is a word in one run and a number or a switch in another: a column of Parquet has one type."""
    from pandas.api.types import infer_dtype

    mixed = [name for name in frame if infer_dtype(frame[name], skipna=True) in ("mixed", "mixed-integer")]
    return frame.assign(**{str(name): frame[name].map(str, na_action="ignore") for name in mixed})


def _plain(row: Row) -> Row:
    """Write lists and mappings as text: a cell of a table has one value."""
    return {key: str(value) if isinstance(value, list | dict) else value for key, value in row.items()}


def _long(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        run = {key: row[key] for key in ("id", "data", "model", "optimizer", "seed")}
        for line in read_lines(Path(row["folder"]) / "metrics.jsonl")[0]:
            place = {"kind": line.get("kind"), "step": line.get("step"), "epoch": line.get("epoch")}
            numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k not in place}
            yield from ({**run, **place, "name": name, "value": float(value)} for name, value in numbers.items())


def _mirrored(rows: list[Row], out: Path, kind: str, **options: Any) -> Said:
    for row in rows:
        folder = Path(row["folder"])
        config = {key.removeprefix("config."): value for key, value in row.items() if key.startswith("config.")}
        place = out / Path(*folder.parts[-4:])
        place.mkdir(parents=True, exist_ok=True)
        mirror = MIRRORS[kind](Logged(place, row["id"], row["group_id"], config), **options)
        for line in read_lines(folder / "metrics.jsonl")[0]:
            if "step" in line:
                mirror.log(line)
        mirror.close()
    return [f"{len(rows)} runs for {kind} in {out}"]
