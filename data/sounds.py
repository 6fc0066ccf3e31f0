"""Sets of sounds: Speech Commands (Warden 2018), MagnaTagATune (Law et al. 2009), DCASE 2017 task 4 (AdamP, E.5).

The configuration's `samples` is the length of a window at 16 kHz, `chunks` the windows of a clip in an evaluation.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import one_hot

from data.audio import RATE, Clip, SoundSplit, Windows, decoded
from data.dataset import Dataset, Place, drawn, fingerprint
from data.files import csv_rows, once_each, read_lines, require
from data.synthetic import source, test_size

TAGS = 50  # of MagnaTagATune, the most frequent of 188
EVENTS = (
    *("Train horn", "Air horn, truck horn", "Car alarm", "Reversing beeps", "Ambulance (siren)", "Police car (siren)"),
    *("Fire engine, fire truck (siren)", "Civil defense siren", "Screaming", "Bicycle", "Skateboard", "Car"),
    *("Car passing by", "Bus", "Truck", "Motorcycle", "Train"),
)
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
DCASE = {"training": "train", "testing": "train", "evaluation": "test"}  # its own parts, and ours


def speech_commands(
    place: Place, *, path: str = "SpeechCommands/speech_commands_v0.02", samples: int = RATE, chunks: int = 1,
    validation: bool = True, verify: bool = True, synthetic: int = 0,
) -> Dataset:  # fmt: skip
    """Load clips of a word each from <root>/<path>/<word>/*.wav; two lists there name those held out and tested on.

    Classes are the words in the order of the alphabet; folders that begin with _ are none. verify: there are 105,829.
    """
    write = partial(write_speech, path=path, words=place.facts["num_classes"])
    root, verify = source(place, place.name, verify, synthetic, write)
    folder = root / path
    part_of: dict[str, str] = {}
    for part, name in LISTS.items():
        for number, file in enumerate(read_lines(require(place.name, folder / name)), start=1):
            if file in part_of or not (folder / file).is_file():
                what = "is listed twice" if file in part_of else "is no file there"
                raise ValueError(f"{folder / name}: line {number}: {file!r} {what}")
            part_of[file] = part
    words = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("_"))
    named = [
        (f"{word}/{file.name}", n) for n, word in enumerate(words) for file in sorted((folder / word).glob("*.wav"))
    ]
    if verify and len(named) != 105_829:
        raise ValueError(f"{folder}: {len(named)} clips, not 105829; data.verify=false reads them")
    clips = [Clip(folder / name, (number,), part_of.get(name, "train")) for name, number in named]
    return _made(place, clips, Windows(samples, chunks, RATE), len(words), validation)


spoken_words = partial(speech_commands, path="spoken_words", verify=False)


def mtat(
    place: Place, *, samples: int = 5 * RATE, chunks: int = 16, validation: bool = True, synthetic: int = 0
) -> Dataset:
    """Load MagnaTagATune from <root>/mtat/{annotations_final.csv,mp3/}, as the code of Won et al. does.

    Folders 0 to b train, c is held out, d to f are tested on; clips without any of the 50 tags are left out.
    """
    root, _ = source(place, "mtat", False, synthetic, write_mtat)
    file = require("mtat", root / "mtat" / "annotations_final.csv")
    header, *rows = csv_rows(file, "\t")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or not {*row[1:-1]} <= {"0", "1"} or row[-1][:1] not in "0123456789abcdef":
            raise ValueError(f"{file}: line {number} is not an id, {len(header) - 2} tags of 0 or 1 and a file")
    once_each(file, [row[0] for row in rows], first=2)
    tags = np.array([row[1:-1] for row in rows], int)
    top = np.argsort(-tags.sum(0), kind="stable")[:TAGS]
    labels = [tuple(np.flatnonzero(row).tolist()) for row in tags[:, top]]
    parts = ["train" if row[-1][0] < "c" else "validation" if row[-1][0] == "c" else "test" for row in rows]
    clips = [Clip(file.parent / "mp3" / row[-1], own, part) for row, own, part in zip(rows, labels, parts, strict=True)]
    return _made(place, [clip for clip in clips if clip.labels], Windows(samples, chunks, 30 * RATE), TAGS, validation)


def dcase2017(
    place: Place, *, samples: int = 5 * RATE, chunks: int = 16, validation: float = 0.1, split_seed: int = 0,
    synthetic: int = 0,
) -> Dataset:  # fmt: skip
    """Load DCASE 2017 task 4 from <root>/dcase2017/: a list of weak labels, and a folder, for each of DCASE's parts.

    Its parts for training and testing train, but for the share `validation`; that for evaluation is tested on.
    """
    root, _ = source(place, "dcase2017", False, synthetic, write_dcase2017)
    labels: dict[tuple[Path, str], set[int]] = {}
    for name, part in DCASE.items():
        file = require("dcase2017", root / "dcase2017" / f"groundtruth_weak_label_{name}_set.csv")
        for number, row in enumerate(csv_rows(file, "\t"), start=1):
            if len(row) != 4 or row[3] not in EVENTS:
                raise ValueError(f"{file}: line {number} is not a file, a start, an end and an event: {row}")
            events = labels.setdefault((file.parent / name / f"Y{row[0]}", part), set())
            events.add(EVENTS.index(row[3]))  # a file has a line for each event
    clips = [Clip(file, tuple(sorted(events)), part) for (file, part), events in labels.items()]
    trains = [number for number, clip in enumerate(clips) if clip.part == "train"]
    for at in drawn(len(trains), validation, split_seed, "data.validation")[1].tolist() if validation else ():
        clips[trains[at]] = clips[trains[at]]._replace(part="validation")
    return _made(place, clips, Windows(samples, chunks, 10 * RATE), len(EVENTS), bool(validation))


def _made(place: Place, clips: list[Clip], windows: Windows, num_classes: int, validation: bool) -> Dataset:
    """Make a data set of clips; files that are missing or empty, as some of these sets' are, are left out, and said."""
    gone = {clip.file for clip in clips if not (clip.file.is_file() and clip.file.stat().st_size)}
    there = [clip for clip in clips if clip.file not in gone]
    if gone:
        print(f"data={place.name}: {len(gone)} clips without a file are left out, e.g. {min(gone)}", flush=True)
    task = place.facts["task"]
    rows, content = decoded(place, there, windows.longest)
    hot = [one_hot(torch.tensor(clip.labels), num_classes).amax(0) for clip in there]
    targets = torch.stack(hot).float() if task == "tagging" else torch.tensor([clip.labels[0] for clip in there])
    names = [str(clip.file) for clip in there]

    def split(part: str) -> SoundSplit:
        chosen = torch.tensor([number for number, clip in enumerate(there) if clip.part == part])
        if not len(chosen):
            raise ValueError(f"data={place.name}: no clips for {part}")
        return SoundSplit(rows, chosen, targets[chosen], [names[number] for number in chosen], windows, place)

    held = split("validation") if validation else None
    digest = fingerprint(content.encode(), targets, repr([clip.part for clip in there]).encode())
    return Dataset(split("train"), held, split("test"), task, num_classes=num_classes, fingerprint=digest)


def _write_tones(files: Sequence[Path], labels: Sequence[Sequence[int]], seconds: float) -> None:
    """Write sounds in which each class is a tone, with noise; the format is that of the file's name."""
    import soundfile

    time = np.arange(int(seconds * RATE)) / RATE
    for number, (file, own) in enumerate(zip(files, labels, strict=True)):
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.05, len(time))
        tones = [np.sin(2 * np.pi * 100 * 1.05**label * time) for label in own]
        soundfile.write(file, 0.5 * np.mean(tones, 0) + noise, RATE)


def write_speech(root: Path, size: int, path: str, words: int) -> None:
    """Write a synthetic Speech Commands with `size` clips to train on."""
    counts = (size, test_size(size), test_size(size))
    named = [
        (f"word{n % words:02d}/{part}_nohash_{n}.wav", n % words, part)
        for part, count in zip(("train", *LISTS), counts, strict=True)
        for n in range(count)
    ]
    for word in range(words):
        (root / path / f"word{word:02d}").mkdir(parents=True)
    _write_tones([root / path / name for name, _, _ in named], [[label] for _, label, _ in named], 0.8)
    for part, file in LISTS.items():
        (root / path / file).write_text("".join(f"{name}\n" for name, _, own in named if own == part))


def write_mtat(root: Path, size: int) -> None:
    """Write a synthetic MagnaTagATune of `size` clips to train on."""
    folders = "0" * size + "c" * test_size(size) + "d" * test_size(size)
    files = [f"{folder}/piece_{n}.mp3" for n, folder in enumerate(folders)]
    labels = [[n % TAGS, 3 * n % TAGS] for n in range(len(files))]
    _write_tones([root / "mtat" / "mp3" / file for file in files], labels, 6)
    lines = [["clip_id", *(f"tag {tag}" for tag in range(188)), "mp3_path"]]
    lines += [[str(n), *(str(int(tag in own)) for tag in range(188)), file] for n, (file, own) in
              enumerate(zip(files, labels, strict=True))]  # fmt: skip
    text = "".join("\t".join(f'"{word}"' for word in line) + "\n" for line in lines)
    (root / "mtat" / "annotations_final.csv").write_text(text)


def write_dcase2017(root: Path, size: int) -> None:
    """Write a synthetic DCASE 2017 task 4 with `size` clips to train on."""
    test = test_size(size)
    for name, count in zip(DCASE, (size + round(size / 9) - test, test, test), strict=True):  # a tenth is held out
        files = [f"-{name[0]}{n:010d}_0.000_10.000.wav" for n in range(count)]
        labels = [[n % len(EVENTS), (n + 5) % len(EVENTS)] for n in range(count)]
        _write_tones([root / "dcase2017" / name / f"Y{file}" for file in files], labels, 6)
        lines = [
            f"{file}\t0.000\t10.000\t{EVENTS[label]}\n"
            for file, own in zip(files, labels, strict=True)
            for label in own
        ]
        (root / "dcase2017" / f"groundtruth_weak_label_{name}_set.csv").write_text("".join(lines))
