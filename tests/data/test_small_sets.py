"""Readers of the small sets: what they read is what torchvision (or scikit-learn) reads from the same files."""

import faulthandler
import gzip
import os
import pickle
import shutil
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from data import cifar, idx, needed, stored, svhn
from data.cifar import cifar10, cifar100, unpickled
from data.dataset import Dataset
from data.digits import digits
from data.idx import fashion_mnist
from data.memory import Recipe
from tests.data.places import one_line, place

READERS = {"fashion_mnist": fashion_mnist, "cifar10": cifar10, "cifar100": cifar100, "svhn": svhn.svhn}
NAMES = {  # a file of training images, below the root
    "fashion_mnist": "FashionMNIST/raw/train-images-idx3-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_2",
    "cifar100": "cifar-100-python/train",
    "svhn": "train_32x32.mat",
}
WRITERS = {
    "fashion_mnist": idx.write_synthetic,
    "cifar10": cifar.CIFAR10.write_synthetic,
    "cifar100": cifar.CIFAR100.write_synthetic,
    "svhn": svhn.write_synthetic,
}


def test_the_jpeg_copy_is_a_set_of_its_own_known_by_its_content(tmp_path: Path) -> None:
    """Its files lie apart from CIFAR-10's, and the SHA-256 of what they hold has to be the one asked for."""
    cifar.CIFAR10_JPEG.write_synthetic(tmp_path / "root", 30)
    with one_line(FileNotFoundError, "data=cifar10", "data_batch_1 not found"):
        _read("cifar10", tmp_path)
    with one_line(ValueError, "data.sha256", cifar.JPEG_SHA256, "cifar10_jpeg"):
        cifar.cifar10_jpeg(place(tmp_path), Recipe())
    shutil.copytree(tmp_path / "root/cifar10_jpeg/cifar-10-batches-py", tmp_path / "root/cifar-10-batches-py")
    original = _read("cifar10", tmp_path)
    loaded = cifar.cifar10_jpeg(place(tmp_path), Recipe(), sha256=original.fingerprint)
    assert torch.equal(loaded.train.images, original.train.images)
    assert (len(loaded.train), len(loaded.test)) == (30, 7)


@pytest.fixture(params=READERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(name: str, tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    WRITERS[name](root, 30)
    return root


def _read(name: str, folder: Path, **options: object) -> Dataset:
    return READERS[name](place(folder), Recipe(), **{"verify": False} | options)


def _torchvision(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[bool, object]:
    from torchvision import datasets

    if name == "svhn":
        monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
        return {train: datasets.SVHN(root, "train" if train else "test") for train in (True, False)}
    kind = {"fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}[name]
    if name != "fashion_mnist":
        monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: True)
        (root / NAMES[name]).with_name("meta" if name == "cifar100" else "batches.meta").write_bytes(
            pickle.dumps({"label_names": [], "fine_label_names": []})
        )
    return {train: getattr(datasets, kind)(root, train) for train in (True, False)}


def test_read_as_torchvision_reads(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, peers = _read(name, root.parent), _torchvision(name, root, monkeypatch)
    for split, peer in ((loaded.train, peers[True]), (loaded.test, peers[False])):
        assert len(split) == len(peer) > 0
        for index in range(len(peer)):
            image, label = peer[index]
            ours = split.images[index].permute(1, 2, 0).squeeze(-1)
            assert np.array_equal(ours.numpy(), np.asarray(image))
            assert split.targets[index] == label


def test_synthetic_sets_can_be_learned_and_are_written_once(name: str, tmp_path: Path) -> None:
    """Class means of the training images tell the classes of most test images: a net can learn from them."""
    loaded = READERS[name](place(tmp_path), Recipe(), synthetic=400)
    images, targets = loaded.train.images.double().flatten(1), loaded.train.targets
    means = torch.stack([images[targets == label].mean(dim=0) for label in range(loaded.num_classes)])
    nearest = torch.cdist(loaded.test.images.double().flatten(1), means).argmin(dim=1)
    assert (nearest == loaded.test.targets).double().mean() > 0.9
    assert len(loaded.test) == 100
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert READERS[name](place(tmp_path), Recipe(), synthetic=400).fingerprint == loaded.fingerprint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_missing(name: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(needed, "DEBIAN", tmp_path / "nothing")
        for how in ("data.download=true", f"data={name}", str(tmp_path / "root")):
            with one_line(FileNotFoundError, how):
                _read(name, tmp_path)


def test_a_wrong_checksum_names_the_file(name: str, root: Path) -> None:
    with one_line(ValueError, "checksum", "data.verify=false", root):
        _read(name, root.parent, verify=True)


@pytest.mark.parametrize("keep", [0, 3, 100, -64])
def test_a_truncated_file_is_named(name: str, root: Path, keep: int) -> None:
    path = root / NAMES[name]
    path.write_bytes(path.read_bytes()[:keep])
    with one_line(ValueError, path):
        _read(name, root.parent)


def test_noise_in_place_of_a_file_is_named(name: str, root: Path) -> None:
    path = root / NAMES[name]
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with one_line(ValueError, path):
        _read(name, root.parent)


def test_a_failed_download_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no network\nand more lines")

    for kind in ("FashionMNIST", "CIFAR10", "CIFAR100", "SVHN"):
        monkeypatch.setattr(torchvision.datasets, kind, fail)
    with one_line(OSError, f"data={name}", "download failed: no network"):
        _read(name, tmp_path, download=True)


def test_labels_out_of_range(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    WRITERS["cifar10"](folder, 30)
    path = folder / NAMES["cifar10"]
    path.write_bytes(pickle.dumps(unpickled(path) | {"labels": [0, 1, 2, 3, 10, 5]}, protocol=2))
    with one_line(ValueError, path, "label 10", "0 to 9"):
        _read("cifar10", tmp_path)
    path.write_bytes(pickle.dumps(unpickled(path) | {"labels": [0, 1]}, protocol=2))
    with one_line(ValueError, path, "6 images but 2 labels"):
        _read("cifar10", tmp_path)


@pytest.mark.parametrize("wrong", [9.5, float("nan")])
def test_labels_are_whole_numbers(tmp_path: Path, wrong: float) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    WRITERS["cifar10"](folder, 30)
    path = folder / NAMES["cifar10"]
    path.write_bytes(pickle.dumps(unpickled(path) | {"labels": [0, 1, 2, 3, wrong, 5]}, protocol=2))
    with one_line(ValueError, path, f"{wrong} is not a whole number"):
        _read("cifar10", tmp_path)
    WRITERS["svhn"](folder, 3)
    savemat(folder / NAMES["svhn"], {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1.0], [wrong]])})
    with one_line(ValueError, folder / NAMES["svhn"], f"{wrong} is not a whole number"):
        _read("svhn", tmp_path)


def test_svhn_of_one_image(tmp_path: Path) -> None:
    """MATLAB drops a last dimension of 1."""
    (tmp_path / "root").mkdir()
    WRITERS["svhn"](tmp_path / "root", 3)
    savemat(tmp_path / "root" / NAMES["svhn"], {"X": np.ones((32, 32, 3), np.uint8), "y": np.array([[10]])})
    train = _read("svhn", tmp_path).train
    assert (train.images.shape, train.targets.tolist()) == ((1, 3, 32, 32), [0])


def test_a_mat_file_that_ends_scipy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    WRITERS["svhn"](tmp_path / "root", 3)
    monkeypatch.setattr("scipy.io.loadmat", fall)
    with one_line(ValueError, tmp_path / "root" / NAMES["svhn"], "not a readable MATLAB file"):
        _read("svhn", tmp_path)


def fall(*_: object, **__: object) -> None:
    """End the process as a read outside of its memory does."""
    faulthandler.disable()  # or pytest's would print a page about it
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(("shape", "words"), [((0, 28, 28), "no images"), ((3, 14, 28), "28x14 pixels, not 28x28")])
def test_idx_of_another_shape_is_named(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    WRITERS["fashion_mnist"](tmp_path / "root", 30)
    folder = tmp_path / "root/FashionMNIST/raw"
    idx.write(folder / "t10k-images-idx3-ubyte", np.zeros(shape, np.uint8))
    idx.write(folder / "t10k-labels-idx1-ubyte", np.zeros(shape[0], np.uint8))
    with one_line(ValueError, folder / "t10k", words):
        _read("fashion_mnist", tmp_path)


def test_an_idx_that_unpacks_to_too_much_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["fashion_mnist"](tmp_path / "root", 30)
    path = tmp_path / "root" / NAMES["fashion_mnist"]
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    monkeypatch.setattr(idx, "LARGEST", 1000)
    with one_line(ValueError, path, "more than 1,000 bytes"):
        _read("fashion_mnist", tmp_path)


class _Attack:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_cannot_run_code(tmp_path: Path, protocol: int) -> None:
    path, proof = tmp_path / "batch", tmp_path / "proof"
    path.write_bytes(pickle.dumps({"data": _Attack(proof)}, protocol=protocol))
    with one_line(ValueError, path, "refused"):
        unpickled(path)
    assert not proof.exists()
    pickle.loads(path.read_bytes())  # the attack is a real one
    assert proof.exists()


@pytest.mark.parametrize("protocol", range(5))
def test_pickles_of_arrays_are_read(tmp_path: Path, protocol: int) -> None:
    path, content = (
        tmp_path / "batch",
        {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], "b": b"x"},
    )
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = unpickled(path)
    assert np.array_equal(found.pop("data"), content.pop("data"))
    assert found == content


def test_a_batch_as_python_2_wrote_it(tmp_path: Path) -> None:
    """The published files: protocol 2, numpy.core names, text and pixels as 8-bit strings."""
    pixels = bytes(range(256)) * 24
    text = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff"
        b"\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", len(pixels))
        + pixels
        + b"tbU\x06labels]q\x08(K\x03K\x09eu."
    )
    path = tmp_path / "batch"
    path.write_bytes(text)
    images, labels = cifar._batch(path, cifar.CIFAR10)
    assert bytes(images.numpy()) == pixels
    assert labels.tolist() == [3, 9]


def test_gzipped_idx_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "root/FashionMNIST/raw"
    WRITERS["fashion_mnist"](tmp_path / "root", 30)
    plain = _read("fashion_mnist", tmp_path)
    for path in [*folder.iterdir()]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert _read("fashion_mnist", tmp_path).fingerprint == plain.fingerprint
    damaged = folder / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with one_line(ValueError, damaged):
        _read("fashion_mnist", tmp_path)


@pytest.mark.skipif(not needed.DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist(tmp_path: Path) -> None:
    loaded = fashion_mnist(place(tmp_path), Recipe())
    assert (len(loaded.train), len(loaded.test)) == (60_000, 10_000)
    assert loaded.test.targets.bincount().tolist() == [1000] * 10
    assert loaded.fingerprint == "023af56f2df4044caed94170ad349e6b65f89b25f8a145855f0c7aaaf8e51fa2"


def test_svhn_extra_joins_the_training_set(tmp_path: Path) -> None:
    loaded = svhn.svhn(place(tmp_path), Recipe(), synthetic=20, extra=True)
    assert (len(loaded.train), len(loaded.test)) == (40, 5)


def test_digits_are_scikit_learns(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    raw, loaded = load_digits(), digits(place(tmp_path), Recipe())
    order = raw.target.argsort(kind="stable")
    test = np.zeros(1797, bool)
    test[order[::5]] = True
    for split, chosen in ((loaded.train, ~test), (loaded.test, test)):
        assert np.array_equal(split.targets, raw.target[chosen])
        assert np.array_equal(split.images[:, 0], np.rint(raw.images[chosen] * 255 / 16))
    assert len(loaded.test) == 360
    assert {*loaded.test.targets.bincount().tolist()} == {35, 36, 37}


def test_published_leaves_nothing_after_an_error(tmp_path: Path) -> None:
    def interrupted() -> None:
        with stored.published(tmp_path / "set") as draft:
            draft.mkdir()
            (draft / "half").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert not any(tmp_path.iterdir())


def test_published_keeps_what_was_first(tmp_path: Path) -> None:
    with stored.published(tmp_path / "set") as draft:
        draft.mkdir()
        (draft / "a").write_text("second")
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "a").write_text("first")
    assert (tmp_path / "set" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
