"""One look for all figures: a fixed colour and marker for each optimizer, print sizes, colour-blind safe.

Colours are Okabe and Ito's, and two more; where two optimizers share a hue, line style and marker tell them apart, so
that a figure can be read in grey. Import-light: matplotlib is imported when a figure is made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

HUES = {
    "black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#C9B400",
    "blue": "#0072B2", "red": "#D55E00", "pink": "#CC79A7", "grey": "#7F7F7F", "purple": "#6A3D9A",
}  # fmt: skip
MARKERS = "osD^v<>PX*hp"
LINES = ("-", "--", "-.", ":")
# Name, hue, marker, line style. A hue a family: SGD black, Adam blue, projections green, spheres orange, SING red.
_TEXT = """
    sgd black o -; gc_sgd black s :; sgdp green s --; adamp green ^ -; adam blue o -; adamw blue s --;
    gc_adamw blue D :; nadam sky ^ -; radam sky v --; adagrad sky P -.; adafactor sky X :; lamb yellow h -;
    yogi yellow v --; adabelief pink D -; adabound pink < --; sam grey P -; asam grey X --; sls grey * :;
    lookahead yellow p :; rmsgd purple D -; sing red * -; sing_lookahead red p -.; sing_sgd red o --;
    sing_adabelief red v :; sing_adafactor red X --; adams orange s --; adamsrt orange ^ -; sgdmrt orange v -.;
    adamg orange P :; adamg_repo orange X :; adamg_star orange * :; sgdg orange h -.;
    adafactor_torch sky X --;
"""
LOOKS = {name: tuple(look) for name, *look in (entry.split() for entry in _TEXT.split(";") if entry.strip())}
SETTINGS: dict[str, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "grid.linewidth": 0.5, "lines.linewidth": 1.2, "lines.markersize": 4, "legend.frameon": False, "figure.dpi": 100,
    "savefig.dpi": 200, "figure.constrained_layout.use": True, "svg.hashsalt": "stepbench", "svg.fonttype": "path",
}  # fmt: skip
WIDTH = 3.4  # inches: a column of a two-column paper
HEIGHT = 2.4


def look(name: str) -> dict[str, Any]:
    """Return colour, marker and line style of an optimizer, as keywords of matplotlib's plot.

    `name` may go on after a blank (`sing eps`): then the rest chooses the line style. An unknown name gets a look from
    its letters, always the same.
    """
    first, _, rest = name.partition(" ")
    number, hues = crc32(first.encode()), [hue for hue in HUES if hue not in ("black", "red")]
    drawn = hues[number % len(hues)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)]
    hue, marker, line = LOOKS.get(first, drawn)
    return {
        "color": HUES[hue],
        "marker": marker,
        "linestyle": LINES[crc32(rest.encode()) % len(LINES)] if rest else line,
    }


@contextmanager
def figure(columns: int = 1, rows: int = 1, width: float = WIDTH, height: float = HEIGHT) -> Iterator[tuple[Any, Any]]:
    """Yield a figure and its axes, an array [rows, columns], in the common style; closed at the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context(SETTINGS):
        made, axes = pyplot.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
        try:
            yield made, axes
        finally:
            pyplot.close(made)


def save(made: Any, path: Path) -> list[Path]:
    """Write a figure as SVG and PNG, without dates: the same figure gives the same bytes. `path`: without ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    undated = {".svg": {"Date": None}, ".png": {}}
    paths = [path.with_name(path.name + ending) for ending in undated]
    for target, metadata in zip(paths, undated.values(), strict=True):
        made.savefig(target, metadata=metadata)
        made.set_layout_engine("none")  # the first file has laid the figure out
    return paths
