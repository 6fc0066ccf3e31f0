"""What all readers need of files: found, whole, and never half-written."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def missing(name: str, what: Path | str, how: str) -> FileNotFoundError:
    """Word the error for a data set that is not there: what is looked for where, and how to get it."""
    return FileNotFoundError(f"data={name}: {what} not found; {how}")


def download(name: str, kind: str, root: Path, *arguments: str) -> None:
    """Let torchvision's class `kind` fetch its files below root; raises OSError with one line."""
    import torchvision.datasets

    root.mkdir(parents=True, exist_ok=True)
    try:
        getattr(torchvision.datasets, kind)(root, *arguments, download=True)
    except (OSError, RuntimeError) as error:
        raise OSError(f"data={name}: download failed: {str(error).splitlines()[0]}") from error


def check_md5(path: Path, expected: str) -> None:
    """Raise ValueError unless the file's MD5 is as published."""
    check_digest(str(path), md5(path), expected)


def check_digest(source: str, found: str, expected: str) -> None:
    """Raise ValueError unless the checksums are equal."""
    if found != expected:
        raise ValueError(
            f"{source}: checksum {found}, not {expected}: damaged or another file (data.verify=false reads it)"
        )


def md5(path: Path) -> str:
    """Return a file's MD5, which the sets' publishers give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def read_rgb(path: Path | str) -> "Image.Image":
    """Decode an image file with Pillow; raises FileNotFoundError or ValueError naming the file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: image not found") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: unreadable image: {str(error).splitlines()[0]}") from error


@contextmanager
def published(final: Path) -> Iterator[Path]:
    """Yield a new path beside `final` to write a file or folder to; it takes that name only once it is complete.

    After an error nothing is left. If another process was first, its result stands.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
    try:
        yield draft
        if not final.exists():
            os.rename(draft, final)
    except OSError:
        if not final.exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        draft.unlink(missing_ok=True)
