"""Reading of files for all data sets: whatever is missing or damaged is one line that names the file."""

import csv
import hashlib
import io
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.needed import missing

if TYPE_CHECKING:
    from PIL import Image

_GREY = ("1", "L", "LA", "I;16")  # modes of Pillow


def download(name: str, kind: str, root: Path, *arguments: str) -> None:
    """Let torchvision's class `kind` fetch its files below root; raises OSError with one line."""
    import torchvision.datasets

    root.mkdir(parents=True, exist_ok=True)
    try:
        getattr(torchvision.datasets, kind)(root, *arguments, download=True)
    except (OSError, RuntimeError) as error:
        raise OSError(f"data={name}: download failed: {complaint(error)}") from error


def complaint(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def require(name: str, path: Path, md5: str | None = None) -> Path:
    """Return the path of a file that the set `name` needs.

    md5: as its publisher gives it, or None. Raises FileNotFoundError or ValueError.
    """
    if not path.is_file():
        raise missing(name, path)
    if md5 is not None:
        check_md5(path, md5)
    return path


def check_md5(path: Path, expected: str) -> None:
    """Raise ValueError unless the file's MD5 is as its publisher gives it."""
    check_digest(str(path), file_digest(path, "md5"), expected)


@lru_cache
def file_digest(file: Path, kind: str = "sha256") -> str:
    """Return the checksum of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, kind).hexdigest()


def digest(texts: Iterable[str]) -> str:
    """Return the SHA-256 of lines."""
    total = hashlib.sha256()
    for text in texts:
        total.update(f"{text}\n".encode())
    return total.hexdigest()


def stamps(files: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each file, another one once its size or time has changed."""
    for file in files:
        try:
            found = file.stat()
        except OSError as error:
            raise FileNotFoundError(f"{file}: image not found ({error.strerror})") from error
        yield f"{file} {found.st_size} {found.st_mtime_ns}"


class Look(NamedTuple):
    """What is known of an image that is not decoded: the SHA-256 of its file, width and height, whether it is grey."""

    digest: str
    size: tuple[int, int]
    grey: bool


def look_at(content: bytes, source: Path | str) -> Look:
    """Look at the bytes of an image file. Raises ValueError naming its source."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return Look(hashlib.sha256(content).hexdigest(), image.size, image.mode in _GREY)
    except UnidentifiedImageError as error:
        raise ValueError(f"{source}: unreadable image: of no kind that Pillow knows") from error
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ValueError(f"{source}: unreadable image: {complaint(error)}") from error


def check_digest(source: str, found: str, expected: str) -> None:
    """Raise ValueError unless the checksums are equal."""
    if found != expected:
        raise ValueError(
            f"{source}: checksum {found}, not {expected}: damaged or another file (data.verify=false reads it)"
        )


def read_rgb(path: Path | str, content: bytes | None = None) -> "Image.Image":
    """Decode an image file with Pillow, 16-bit grey by its high byte as Pillow does with 16-bit colours.

    content: of the file, where it is at hand; the path is its name then. Raises FileNotFoundError or ValueError naming
    the file: unreadable, too large (a decompression bomb), or of numbers whose range a file does not tell.
    """
    from PIL import Image

    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            return _eight_bits(image).convert("RGB")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: image not found") from error
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ValueError(f"{path}: unreadable image: {complaint(error)}") from error


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """Bring 16-bit grey to 0..255; Pillow's own conversion cuts all above 255 off."""
    from PIL import Image

    if image.mode.startswith("I;16") and image.format == "PNG":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{image.format} with pixels of mode {image.mode}, whose range it does not tell")
    return image


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text; raises ValueError naming the file and the line."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ValueError(f"{path}: line {line} is not UTF-8 text ({error.reason})") from error


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text, the last of which may end without a newline."""
    return read_text(path).removesuffix("\n").split("\n")


def csv_rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    """Read a separated file, its first line and all others; raises ValueError naming it."""
    text = read_text(path)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(f"{path}: not a readable csv: {complaint(error)}") from error
    if "\0" in text:
        raise ValueError(f"{path}: holds a NUL character, which text does not")
    if not rows:
        raise ValueError(f"{path}: empty")
    return rows


def read_csv(path: Path, header: Sequence[str], row: str, fits: Callable[[list[str]], bool]) -> list[list[str]]:
    """Return the rows of a csv after its first line, which is `header`.

    row: what each is, in words, and fits: whether one is. The first column is a file's name, there once. Raises
    ValueError naming the file and the line.
    """
    first, *rows = csv_rows(path)
    if first != list(header):
        raise ValueError(f"{path}: its first line is not {','.join(header)}")
    for number, line in enumerate(rows, start=2):
        if len(line) != len(header) or Path(line[0]).name != line[0] or not fits(line):
            raise ValueError(f"{path}: line {number} is not {row}: {','.join(line)}")
    once_each(path, [line[0] for line in rows])
    return rows


def read_mat(file: Path | io.BytesIO, source: Path, *names: str, **options: Any) -> Mapping[str, Any]:
    """Read variables of a MATLAB file, in a process of its own: 7 of 1,000 damaged ones end scipy's with SIGSEGV."""
    from scipy.io import loadmat

    try:
        with ProcessPoolExecutor(1, get_context("fork")) as pool:
            content = pool.submit(loadmat, file, variable_names=names, **options).result()
        return {name: content[name] for name in names}
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise ValueError(f"{source}: not a readable MATLAB file: {complaint(error)}") from error


def once_each(source: Path, samples: Sequence[Hashable], first: int | None = None) -> None:
    """Raise ValueError naming the source of a sample that is listed twice: in two parts, it would be tested on.

    first: the line of the first sample, where each has one.
    """
    seen: set[Hashable] = set()
    for number, sample in enumerate(samples):
        if sample in seen:
            line = "" if first is None else f"line {first + number}: "
            raise ValueError(f"{source}: {line}{sample!r} is listed twice")
        seen.add(sample)


def whole_numbers(values: ArrayLike, source: Path | str) -> NDArray[np.int64]:
    """Return labels or row numbers as int64; raises ValueError naming the source of what is no whole number."""
    found = np.asarray(values)
    if found.dtype.kind not in "iuf":
        raise ValueError(f"{source}: {found.dtype} where whole numbers belong")
    with np.errstate(invalid="ignore"):
        whole = found.astype(np.int64)
    if (whole != found).any():
        raise ValueError(f"{source}: {found[whole != found][0]} is not a whole number")
    return whole
