"""The pictures of the page: files beside it, drawn again only where what they show has changed."""

import json
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf import groups
from reports import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = dict[str, Any]
DPI = 150  # two pixels for one of a page where two figures are in a row
HERE = Path(__file__).parent


class Pictures:
    """Pictures in <out>/page, and what each was drawn from in drawn.json."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "page"
        self._index = self.folder / "drawn.json"
        self._code = _digest([version("matplotlib"), *(path.read_text() for path in _sources())])
        self._known: dict[str, Any] = {}
        with suppress(FileNotFoundError, ValueError):
            self._known = json.loads(self._index.read_text())

    def of(self, name: str, shown: object, figures: "Iterable[tuple[str, str, Figure]]") -> list[Picture]:
        """Return a caption, a source, width and height of each figure, drawn unless the same was.

        name: of them all, unique. shown: what they show, as plain data. figures: ending of the name, caption, figure.
        """
        digest = _digest([self._code, shown])
        entry = self._known.get(name, {})
        if entry.get("digest") != digest or not all((self.folder / one["file"]).is_file() for one in entry["pictures"]):
            drawn = [self._save(f"{name}-{ending}.png", caption, made) for ending, caption, made in figures]
            entry = self._known[name] = {"digest": digest, "pictures": drawn}
        return [picture | {"source": f"{self.folder.name}/{picture['file']}"} for picture in entry["pictures"]]

    def _save(self, file: str, caption: str, made: "Figure") -> Picture:
        """Write a figure with 256 colours: a fifth of the bytes of an SVG, whose lettering is drawn as paths."""
        from PIL import Image

        style.lay_out(made)
        stream = BytesIO()
        made.savefig(stream, format="png", dpi=DPI)
        image = Image.open(stream).convert("RGB").quantize(256)
        self.folder.mkdir(parents=True, exist_ok=True)
        image.save(self.folder / file, optimize=True)
        return {"file": file, "caption": caption, "width": image.width, "height": image.height}

    def close(self) -> None:
        """Write down what was drawn from what, for the next page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index.write_text(json.dumps(self._known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _sources() -> list[Path]:
    """Return the files that decide how a figure looks: the code, metrics' names, optimizers' names."""
    names = [path for folder in groups.folders() for path in sorted(folder.glob("optimizer/*.yaml"))]
    return [*sorted(HERE.glob("*.py")), HERE.parent / "papers/metrics.yaml", *names]


def _digest(content: object) -> str:
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
