"""Which files each set is read from, and how to get them: looked for before anything heavy is imported. Torch-free."""

from collections.abc import Mapping
from importlib.util import find_spec
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
    "imagenet9": "put ImageNet's train/ and val/ into imagenet/, ImageNet-A's folders into imagenet-a/, and "
    "9class_imagenet_val.csv of github.com/clovaai/rebias (clusters/) into imagenet9/",
    "mnist": "data.download=true fetches it, or put its four idx files, plain or .gz, there",
    "mhist": "ask for access at bmirds.github.io/MHIST, then unpack images.zip beside it, as images/MHIST_*.png",
    **dict.fromkeys(
        ("text", "text_small"), "put train.txt, valid.txt and test.txt there, or name a folder by data.path"
    ),
    "wikitext103": "unpack wikitext-103 there, its wiki.*.tokens renamed to train.txt, valid.txt and test.txt",
    "iwslt14": "put train, valid and test there, one file a language, as fairseq's prepare-iwslt14.sh does before BPE",
    "translation_small": "put train, valid and test there, one file a language, a sentence a line",
    "cub": "unpack CUB_200_2011.tgz of data.caltech.edu/records/65de6-vp158",
    "cars196": "put cars_annos.mat and car_ims/ of the Stanford Cars data set there",
    "sop": "unpack Stanford_Online_Products.zip of cvgl.stanford.edu/projects/lifted_struct",
    "inshop": "ask for it at mmlab.ie.cuhk.edu.hk/projects/DeepFashion; img/ goes beside it",
    "coco": "unpack train2017.zip, val2017.zip and annotations_trainval2017.zip of cocodataset.org there",
    "squad": "put train-v1.1.json and dev-v1.1.json of rajpurkar.github.io/SQuAD-explorer there",
    "swag": "put train.csv and val.csv of github.com/rowanz/swagaf (data/) there",
    "speech_commands": "unpack speech_commands_v0.02.tar.gz of download.tensorflow.org/data there",
    "spoken_words": "python -m data.spoken_words --root DIR makes it there, below paths.data",
    "mtat": "put annotations_final.csv of mirg.city.ac.uk/codeapps/the-magnatagatune-dataset there, its clips in mp3/",
    "dcase2017": "put the weak labels of DCASE 2017 task 4 there, its clips in training/, testing/ and evaluation/",
    "svhn": "data.download=true fetches it, or put the .mat files of ufldl.stanford.edu/housenumbers (format 2) there",
}
_CIFAR10 = {
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
}
_TEXTS = dict.fromkeys(f"{{path}}/{part}.txt" for part in ("train", "valid", "test"))
_PAIRS = dict.fromkeys(f"{{path}}/{part}.{{languages[{n}]}}" for part in ("train", "valid", "test") for n in (0, 1))
_WORDS = dict.fromkeys(f"{{path}}/{part}_list.txt" for part in ("validation", "testing"))
FILES: dict[str, dict[str, str | None]] = {  # below the data folder, in the order of reading, with their MD5
    "adp": {
        "ADP V1.0 Release/ADP_EncodedLabels_Release1_Flat.csv": None,
        **dict.fromkeys(f"ADP V1.0 Release/splits/{part}.npy" for part in ("train", "valid", "test")),
    },
    "cifar10": {**_CIFAR10},
    "cifar10_jpeg": dict.fromkeys(f"cifar10_jpeg/{file}" for file in _CIFAR10),
    "cifar100": {
        "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
        "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
    "fashion_mnist": {  # of the uncompressed files: the .gz of the site and of Debian differ in their headers
        "FashionMNIST/raw/train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "FashionMNIST/raw/train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "FashionMNIST/raw/t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "FashionMNIST/raw/t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "mnist": dict.fromkeys(
        f"MNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ),
    "imagenet": {"imagenet/train": None, "imagenet/val": None},
    "imagenet9": dict.fromkeys(("imagenet/train", "imagenet/val", "imagenet-a", "imagenet9/9class_imagenet_val.csv")),
    "mhist": {"mhist/annotations.csv": None},
    "cub": {"CUB_200_2011/images.txt": None},
    "cars196": {"cars196/cars_annos.mat": None},
    "sop": dict.fromkeys(f"Stanford_Online_Products/Ebay_{part}.txt" for part in ("train", "test")),
    "coco": dict.fromkeys(f"{{path}}/annotations/instances_{part}2017.json" for part in ("train", "val")),
    "inshop": {"inshop/list_eval_partition.txt": None},
    "squad": dict.fromkeys(f"squad/{part}-v1.1.json" for part in ("train", "dev")),
    "swag": {"swag/train.csv": None, "swag/val.csv": None},
    "svhn": {
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
    **dict.fromkeys(("text", "text_small", "wikitext103"), _TEXTS),
    **dict.fromkeys(("iwslt14", "translation_small"), _PAIRS),
    **dict.fromkeys(("speech_commands", "spoken_words"), _WORDS),
    "mtat": {"mtat/annotations_final.csv": None},
    "dcase2017": dict.fromkeys(
        f"dcase2017/groundtruth_weak_label_{part}_set.csv" for part in ("training", "testing", "evaluation")
    ),
}
LIBRARIES = {  # of the sets that need more than the suite: a module, what installs it, the extra
    **dict.fromkeys(("speech_commands", "spoken_words", "mtat", "dcase2017"), ("soundfile", "soundfile", "audio")),
    **dict.fromkeys(("squad", "spans_small", "swag", "choices_small"), ("tokenizers", "transformers", "finetune")),
}
EXTRA = {"svhn": {"extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7"}}  # where data.extra=true


def missing(name: str, what: Path) -> FileNotFoundError:
    """Word the error for a data set that is not there: what is looked for where, and how to get it."""
    folder = what.parent.parent if name == "imagenet" else what.parent
    return FileNotFoundError(f"data={name}: {what} not found; {HOW[name].format(folder=folder)}")


def look(options: Mapping[str, Any], root: Path) -> None:
    """Raise FileNotFoundError, one line, for the first file, or library, that a data configuration needs and lacks."""
    name = str(options.get("images", options["name"])).removesuffix("_retrieval")  # of the same files
    module, package, extra = LIBRARIES.get(name, ("", "", ""))
    if module and find_spec(module) is None:
        raise FileNotFoundError(f"data={name}: {module} not found; pip install {package} (the extra `{extra}`)")
    made = options.get("synthetic") or options.get("generated")
    if made or options.get("download") or (name == "fashion_mnist" and DEBIAN.is_dir()):
        return
    for pattern in (*FILES.get(name, ()), *(EXTRA[name] if options.get("extra") else ())):
        file = pattern.format_map(options)
        if not any(Path(f"{root / file}{ending}").exists() for ending in ("", ".gz")):
            raise missing(name, root / file)
