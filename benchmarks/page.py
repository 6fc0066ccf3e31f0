"""What was measured, as one page: `python -m benchmarks.page [FOLDER]` writes FOLDER/index.md from its JSON files."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from conf.cli import Parser, guarded
from conf.errors import UsageError

Values = Mapping[str, object]


def page(folder: Path) -> str:
    """Return Markdown of all reports in a folder: facts as lines, what was measured as tables, and the figures.

    Raises UsageError where there is none.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UsageError(f"{folder}: no report in it; `make benchmarks` writes them")
    return "\n".join(["# Measured speed", *(line for file in files for line in _section(file))]) + "\n"


def _section(file: Path) -> Iterator[str]:
    yield from ("", f"## {file.stem}", "")
    yield from _shown("", json.loads(file.read_text()))
    if (figure := file.with_suffix(".png")).exists():
        yield from ("", f"![{file.stem}]({figure.name})")


def _shown(name: str, value: object) -> Iterator[str]:
    """Show a value: rows, or a mapping of rows, as a table; a mapping of other things part by part."""
    rows = _rows(value)
    if rows:
        yield from ("", *([f"### {name}", ""] if name else []), *_table(rows), "")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _shown(f"{name} {key}".strip(), inner)
    else:
        yield f"- {name}: {_text(value)}"


def _rows(value: object) -> list[Values]:
    if isinstance(value, Sequence) and value and all(isinstance(row, Mapping) for row in value):
        return [dict(row) for row in value]
    if isinstance(value, Mapping) and value and all(_is_row(row) for row in value.values()):
        return [{"": key} | dict(row) for key, row in value.items()]
    return []


def _is_row(value: object) -> bool:
    return isinstance(value, Mapping) and not any(isinstance(one, Mapping | list) for one in value.values())


def _table(rows: Sequence[Values]) -> Iterator[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(_text(row.get(name, '')) for name in names)} |"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def main() -> None:
    """Write the page; prints where it is."""
    options = Parser("python -m benchmarks.page", description=__doc__)
    options.add_argument("folder", type=Path, nargs="?", default=Path("build/benchmarks"))
    folder = options.parse_args().folder
    (folder / "index.md").write_text(page(folder), encoding="utf-8")
    print(folder / "index.md")


if __name__ == "__main__":
    sys.exit(guarded(main))
