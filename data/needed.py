"""Which files each set is read from, and how to get them: looked for before anything heavy is imported. Torch-free."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where its package puts Fashion-MNIST
HOW = {
    "adp": "ask for it at www.dsp.utoronto.ca/projects/ADP",
    "cifar10": "data.download=true fetches it, or unpack the python version to {folder}",
    "cifar10_jpeg": "decode a JPEG copy of CIFAR-10 into CIFAR-10's python version there; docs/data.md says which copy",
    "cifar100": "data.download=true fetches it, or unpack the python version to {folder}",
    "fashion_mnist": "apt-get install dataset-fashion-mnist installs it, or data.download=true fetches it, or put "
    "{{train,t10k}}-{{images-idx3,labels-idx1}}-ubyte, plain or .gz, there",
    "imagenet": "register at image-net.org, then `python -m data.imagenet prepare --tars DIR --root {folder}` unpacks "
    "the tars",
    "mhist": "ask for access at bmirds.github.io/MHIST, then unpack images.zip beside it, as images/MHIST_*.png",
    **dict.fromkeys(
        ("text", "text_small"), "put train.txt, valid.txt and test.txt there, or name a folder by data.path"
    ),
    "wikitext103": "unpack wikitext-103 there, its wiki.*.tokens renamed to train.txt, valid.txt and test.txt",
    "iwslt14": "put train, valid and test there, one file a language, as fairseq's prepare-iwslt14.sh does before BPE",
    "translation_small": "put train, valid and test there, one file a language, a sentence a line",
    "svhn": "data.download=true fetches it, or put the .mat files of ufldl.stanford.edu/housenumbers (format 2) there",
}
CIFAR10 = tuple(f"cifar-10-batches-py/{n}" for n in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"))
FILES = {  # below the data folder, in the order in which they are read
    "adp": (
        "ADP V1.0 Release/ADP_EncodedLabels_Release1_Flat.csv",
        *(f"ADP V1.0 Release/splits/{part}.npy" for part in ("train", "valid", "test")),
    ),
    "cifar10": CIFAR10,
    "cifar10_jpeg": tuple(f"cifar10_jpeg/{file}" for file in CIFAR10),
    "cifar100": ("cifar-100-python/train", "cifar-100-python/test"),
    "fashion_mnist": tuple(
        f"FashionMNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ),
    "imagenet": ("imagenet/train", "imagenet/val"),
    "mhist": ("mhist/annotations.csv",),
    "svhn": ("train_32x32.mat", "test_32x32.mat"),
    **dict.fromkeys(
        ("text", "text_small", "wikitext103"), tuple(f"{{path}}/{p}.txt" for p in ("train", "valid", "test"))
    ),
}
for _name in ("iwslt14", "translation_small"):
    FILES[_name] = tuple(f"{{path}}/{part}.{{languages[{n}]}}" for part in ("train", "valid", "test") for n in (0, 1))
EXTRA = {"svhn": "extra_32x32.mat"}  # where data.extra=true


def missing(name: str, what: Path) -> FileNotFoundError:
    """Word the error for a data set that is not there: what is looked for where, and how to get it."""
    folder = what.parent.parent if name == "imagenet" else what.parent
    return FileNotFoundError(f"data={name}: {what} not found; {HOW[name].format(folder=folder)}")


def look(options: Mapping[str, Any], root: Path) -> None:
    """Raise FileNotFoundError, one line, for the first file that a data configuration needs and that is not there."""
    name = str(options["name"])
    if options.get("synthetic") or options.get("download") or (name == "fashion_mnist" and DEBIAN.is_dir()):
        return
    for pattern in (*FILES.get(name, ()), *([EXTRA[name]] if options.get("extra") else [])):
        file = pattern.format_map(options)
        if not any(Path(f"{root / file}{ending}").exists() for ending in ("", ".gz")):
            raise missing(name, root / file)
