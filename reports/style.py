"""One look for all figures: a fixed colour and marker for each optimizer, print sizes, colour-blind safe.

Colours are Okabe and Ito's, and more; where two optimizers share a hue, line style and marker tell them apart, so that
a figure can be read in grey. Import-light: matplotlib is imported when a figure is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

HUES = {
    "black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#C9B400",
    "blue": "#0072B2", "red": "#D55E00", "pink": "#CC79A7", "grey": "#7F7F7F", "purple": "#6A3D9A",
}  # fmt: skip
SING = {"wine": "#882255", "brown": "#8C564B", "salmon": "#FF7F6E", "crimson": "#C2003F", "rust": "#7A3300"}
MARKERS = "osD^v<>PX*hp"
LINES = ("-", "--", "-.", ":")
# Name, hue, marker, line style. A hue a family: SGD black, Adam blue, projections green, spheres orange; SING reds;
# those since 2018 purple.
_TEXT = """
    sgd black o -; gc_sgd black s :; sgdp green s --; adamp green ^ -; adam blue o -; adamw blue s --;
    gc_adamw blue D :; nadam sky ^ -; radam sky v --; adagrad sky P -.; adafactor sky X :; lamb yellow h -;
    yogi yellow v --; adabelief pink D -; adabound pink < --; sam grey P -; asam grey X --; sls grey * :;
    lookahead yellow p :; rmsgd purple D -; sing red * -; sing_lookahead wine p -.; sing_sgd brown o --;
    sing_adabelief salmon v :; sing_adafactor rust X --; sing_eps crimson h :; adams orange s --; adamsrt orange ^ -;
    sgdmrt orange v -.; adamg orange P :; adamg_repo orange X :; adamg_star orange * :; sgdg orange h -.;
    adafactor_torch sky X --; chain grey D -.; lion purple o -; cautious purple s --; adan purple ^ -.; mars purple v :;
    muon purple * -; soap purple P --; shampoo purple X -.; prodigy purple < -; sophia purple p :;
    adahessian purple h --; schedule_free_sgd black ^ -.; schedule_free_adamw blue v -.;
"""
LOOKS = {name: tuple(look) for name, *look in (entry.split() for entry in _TEXT.split(";") if entry.strip())}
SETTINGS: dict[RcKeyType, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "grid.linewidth": 0.5, "lines.linewidth": 1.2, "lines.markersize": 4, "legend.frameon": False, "figure.dpi": 100,
    "savefig.dpi": 200, "svg.hashsalt": "stepbench", "svg.fonttype": "path",
    "legend.handlelength": 3.0,  # long enough to tell the lines apart
}  # fmt: skip
WIDTH, HEIGHT = 3.4, 2.4  # inches; a column of a two-column paper
NOTE_WIDTH = 18  # characters an inch of a note below a figure
# The formats of a figure, and what leaves the date out of each.
FORMATS: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}


def look(name: str, points: int = 0) -> dict[str, Any]:
    """Return colour, marker and line style of an optimizer, as keywords of matplotlib's plot.

    points: length of a line that is to have about six markers.

    `name` may go on after a blank (`sgd lr=0.1`): then the rest chooses line style and marker, unless the whole has a
    look of its own (`sing eps`). An unknown name gets a look from its letters, always the same.
    """
    first, _, rest = name.partition(" ")
    number, hues = crc32(first.encode()), [hue for hue in HUES if hue not in ("black", "red")]
    drawn = hues[number % len(hues)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)]
    whole = LOOKS.get(name.replace(" ", "_"))
    hue, marker, line = whole or LOOKS.get(first, drawn)
    if rest and not whole:
        turn, place = divmod(crc32(rest.encode()), len(LINES))
        line, marker = LINES[place], MARKERS[turn % len(MARKERS)]
    return {"color": (HUES | SING)[hue], "marker": marker, "linestyle": line, "markevery": max(1, points // 6)}


@contextmanager
def figure(
    columns: int = 1, rows: int = 1, width: float = WIDTH, height: float = HEIGHT, sharex: bool = False
) -> Iterator[tuple[Figure, np.ndarray]]:
    """Yield a figure and its axes, an array [rows, columns], in the common style; closed at the end.

    width, height: of a panel, in inches. Lines that are no optimizer's take the hues in turn, then the next line style.
    """
    import matplotlib as mpl
    from cycler import cycler

    mpl.use("Agg")
    from matplotlib import pyplot

    turns = cycler(linestyle=LINES) * cycler(color=HUES.values())
    with mpl.rc_context(SETTINGS | {"axes.prop_cycle": turns}):
        size = width * columns, height * rows
        made, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, sharex=sharex)
        try:
            yield made, axes
        finally:
            pyplot.close(made)


def annotate(made: Figure, note: str) -> None:
    """Write a note below a figure, in lines as long as it is wide."""
    made.supxlabel(fill(note, round(NOTE_WIDTH * made.get_figwidth())), fontsize=7, color="0.35")


def lay_out(made: Figure) -> None:
    """Lay a figure out, once: where matplotlib does so while it saves, it draws everything twice for each file."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    ConstrainedLayoutEngine().execute(made)


def save(made: Figure, path: Path, data: pd.DataFrame | None = None, note: str = "") -> list[Path]:
    """Write a figure as SVG, PDF and PNG, without dates: the same figure gives the same bytes.

    path: without ending. data: what is drawn, as CSV beside it. note: written below the figure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if note:
        annotate(made, note)
    lay_out(made)
    paths = [path.with_name(path.name + ending) for ending in FORMATS]
    for target in paths:
        made.savefig(target, metadata=FORMATS[target.suffix])
    if data is not None:
        paths.append(path.with_name(path.name + ".csv"))
        data.to_csv(paths[-1], index=False, float_format="%.7g")
    return paths
