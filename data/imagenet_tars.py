"""From ImageNet's tars to folders of images. No member can be written outside its folder.

torchvision's parse_*_archive functions write wherever a tar says (before Python 3.12), begin again after an
interruption, take a tar that is cut between two members for a whole one, and read meta.mat in this process.
"""

import argparse
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, NoReturn

from data.files import check_md5, complaint, read_mat
from data.stored import published

TARS = {  # file -> MD5
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
}
HOW = "download it from image-net.org (ILSVRC 2012) after registration"


def prepare(tars: Path, root: Path, verify: bool = True) -> None:
    """Unpack the three tars below root/imagenet; what is already there is kept, so that it can be run again.

    Raises FileNotFoundError or ValueError with one line: a tar that is missing, damaged, truncated, or whose members
    are not plain files with plain names.
    """
    devkit, val, train = paths = [tars / name for name in TARS]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: not found; {HOW}")
    for path, md5 in zip(paths, TARS.values() if verify else (), strict=False):
        check_md5(path, md5)
    folder, classes = root / "imagenet", _val_classes(devkit)
    with _opened(train) as archive:
        for name, content in _members(archive, train):
            if name.removesuffix(".tar") not in classes.values():
                raise ValueError(f"{train}: {name!r} is none of the devkit's classes: refused")
            _unpack(folder / "train" / name.removesuffix(".tar"), train, str, content)

    def in_class(name: str) -> str:
        if name not in classes:
            raise ValueError(f"{val}: {name!r} is not one of the devkit's {len(classes)} validation images")
        return f"{classes[name]}/{name}"

    _unpack(folder / "val", val, in_class)


def _unpack(folder: Path, source: Path, place: Callable[[str], str], content: IO[bytes] | None = None) -> None:
    """Write an archive's members below a folder, each at its `place`; a folder that is there is left alone."""
    if folder.exists():
        return
    with published(folder) as draft, _opened(source, content) as archive:
        draft.mkdir()
        for name, image in _members(archive, source):
            path = draft / place(name)
            path.parent.mkdir(exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(image, file)


def _val_classes(devkit: Path) -> dict[str, str]:
    """Read which class (wnid) each validation image has: image n's ILSVRC id is line n of the ground truth."""
    with _opened(devkit) as archive:
        files = ((member.name, archive.extractfile(member)) for member in archive)
        content = {Path(name).name: file.read() for name, file in files if file is not None}
    try:
        meta = BytesIO(content["meta.mat"])
        synsets = read_mat(meta, devkit / "meta.mat", "synsets", squeeze_me=True)["synsets"]
        wnids = {
            int(row["ILSVRC2012_ID"]): _plain(str(row["WNID"]), devkit) for row in synsets if not row["num_children"]
        }
        truth = content["ILSVRC2012_validation_ground_truth.txt"].split()
        return {f"ILSVRC2012_val_{n:08d}.JPEG": wnids[int(line)] for n, line in enumerate(truth, start=1)}
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{devkit}: not the ILSVRC 2012 devkit ({type(error).__name__}: {error})") from error


@contextmanager
def _opened(path: Path, content: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """Open a tar, or one within it; damage anywhere in it becomes a ValueError that names the file."""
    try:
        with tarfile.open(path if content is None else None, fileobj=content) as archive:
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path}: damaged or truncated tar: {complaint(error)}") from error


def _members(archive: tarfile.TarFile, source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for member in archive:
        content = archive.extractfile(member) if member.isreg() else None
        if content is None:
            raise ValueError(f"{source}: {member.name!r} is not a plain file: refused")
        yield _plain(member.name, source), content
    file = archive.fileobj
    assert file is not None
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end mark")  # tarfile takes a cut between two members for the end


def _plain(name: str, source: Path) -> str:
    """Return a member's name if it is one word, with no folder in it; an archive may not choose where it goes."""
    if name != Path(name).name or name.startswith(".") or "\\" in name:
        raise ValueError(f"{source}: {name!r} is not a plain file name: refused")
    return name


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, exit code 1."""

    def error(self, message: str) -> NoReturn:
        sys.exit(f"{self.prog}: {message}")


def main() -> None:
    """Run the command line; a mistake is one line on stderr, exit code 1."""
    parser = Parser(prog="python -m data.imagenet", description="Unpack ImageNet's tars.")
    command = parser.add_subparsers(required=True).add_parser(
        "prepare", help="tars -> root/imagenet/{train,val}/<wnid>/"
    )
    command.add_argument("--tars", type=Path, required=True, help=f"folder of {', '.join(TARS)}")
    command.add_argument("--root", type=Path, required=True, help="the data folder (paths.data)")
    command.add_argument("--no-verify", action="store_true", help="skip the MD5 of the tars, minutes of reading")
    arguments = parser.parse_args()
    try:
        prepare(arguments.tars, arguments.root, not arguments.no_verify)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
