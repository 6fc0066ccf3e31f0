"""The sets of sounds in their real formats, what is cut out of a clip, and what is wrong with files, in one line."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import data
from conf import groups
from data import audio, needed, sounds, spoken_words
from data.dataset import Place

SPEECH = "SpeechCommands/speech_commands_v0.02"
LABELS = "dcase2017/groundtruth_weak_label_training_set.csv"
WRITERS = {
    "speech_commands": lambda root, size: sounds.write_speech(root, size, SPEECH, 35),
    "mtat": sounds.write_mtat,
    "dcase2017": sounds.write_dcase2017,
}


def load(name: str, root: Path, **more):
    options = {key: value for key, value in groups.raw("data", name).items() if key != "ranges"}
    options |= {"verify": False} if "verify" in options else {}
    return data.load(options | more, Place(root, root / "cache"))


@pytest.fixture(scope="module", params=WRITERS)
def written(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](root, 8)
    return request.param, root


def test_a_set_is_read_in_its_format(written):
    name, root = written
    found = load(name, root)
    sizes = {"speech_commands": [8, 2, 2], "mtat": [8, 2, 2], "dcase2017": [8, 1, 2]}
    assert [len(part) for part in (found.train, found.validation, found.test)] == sizes[name]
    sound, targets = next(iter(found.train.batches([torch.tensor([0, 1])], 3)))
    assert sound.shape == (2, 16000 if name == "speech_commands" else 80000)
    assert sound.dtype == torch.float32
    assert 0.4 < sound.abs().max() < 1
    if name == "speech_commands":
        assert targets.tolist() == [0, 1]
    else:
        assert targets.shape == (2, found.num_classes)
        assert set(targets.sum(1).tolist()) <= {1.0, 2.0}
        assert next(iter(found.test.batches([torch.tensor([0])])))[0].shape == (1, 16, 80000)
    assert load(name, root).fingerprint == found.fingerprint


def test_the_50_most_frequent_tags_are_kept(tmp_path):
    sounds.write_mtat(tmp_path, 8)
    found = load("mtat", tmp_path)
    counts = np.zeros(188, int)
    for n in range(12):
        counts[list({n % 50, 3 * n % 50})] += 1
    top = np.argsort(-counts, kind="stable")[:50].tolist()
    expected = torch.zeros(8, 50)
    for n in range(8):
        expected[n, [top.index(tag) for tag in {n % 50, 3 * n % 50}]] = 1
    assert torch.equal(found.train.targets, expected)


def test_clips_without_a_file_are_left_out_and_said(tmp_path, capfd):
    sounds.write_mtat(tmp_path, 8)
    (tmp_path / "mtat/mp3/0/piece_3.mp3").unlink()
    (tmp_path / "mtat/mp3/0/piece_4.mp3").write_bytes(b"")
    assert len(load("mtat", tmp_path).train) == 6
    said = "data=mtat: 2 clips without a file are left out, e.g. "
    assert capfd.readouterr().out.startswith(said)


def test_another_rate_and_more_channels_are_brought_to_16_khz_and_said(tmp_path, capfd):
    sounds.write_speech(tmp_path, 4, SPEECH, 35)
    file = tmp_path / SPEECH / "word00/train_nohash_0.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
    soundfile.write(file, np.stack((0.6 * tone, 0.2 * tone), 1), 22050)
    found = load("speech_commands", tmp_path)
    assert "data=speech_commands: 1 files at [22050] Hz were resampled to 16000" in capfd.readouterr().out
    sound = next(iter(found.train.batches([torch.tensor([0])])))[0][0]
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(sound[500:-500], expected[500:-500], atol=2e-3)


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "line"),
    [
        ("speech_commands", f"{SPEECH}/testing_list.txt", "word01/test_nohash_1", "word00/test_nohash_0",
         "testing_list.txt: line 2: 'word00/test_nohash_0.wav' is listed twice"),
        ("speech_commands", f"{SPEECH}/testing_list.txt", "word01/test_nohash_1", "word00/validation_nohash_0",
         "testing_list.txt: line 2: 'word00/validation_nohash_0.wav' is listed twice"),
        ("speech_commands", f"{SPEECH}/validation_list.txt", "word00/v", "word00/w",
         "validation_list.txt: line 1: 'word00/walidation_nohash_0.wav' is no file there"),
        ("mtat", "mtat/annotations_final.csv", '\n"1"\t', '\n"0"\t', "line 3: '0' is listed twice"),
        ("mtat", "mtat/annotations_final.csv", "0/piece_0", "x/piece_0", "line 2 is not an id, 188 tags of 0 or 1"),
        ("dcase2017", LABELS, "Train horn", "Trian horn", "line 1 is not a file, a start, an end and an event"),
        ("dcase2017", LABELS, "\t0.000", "", "line 1 is not a file, a start, an end and an event"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_one_line(name, file, old, new, line, tmp_path):
    WRITERS[name](tmp_path, 8)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError) as raised:
        load(name, tmp_path)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_truncated_or_damaged_sound_is_one_line(tmp_path):
    tone = np.sin(np.arange(16000) / 10) / 2
    for kind, line in (("wav", r"but its header says 32044: truncated"), ("mp3", r"header says 16000: truncated")):
        file = tmp_path / f"a.{kind}"
        soundfile.write(file, tone, 16000)
        assert len(audio.decode(file)[0]) == 16000
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ValueError, match=rf"^[^\n]*a\.{kind}: [^\n]*{line}$"):
            audio.decode(file)
    tone[7] = np.nan
    soundfile.write(tmp_path / "b.wav", tone, 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"^[^\n]*b\.wav: unreadable sound: it has samples that are not finite$"):
        audio.decode(tmp_path / "b.wav")
    soundfile.write(tmp_path / "c.wav", tone[:0], 16000)
    with pytest.raises(ValueError, match=r"^[^\n]*c\.wav: a sound without samples$"):
        audio.decode(tmp_path / "c.wav")
    file.write_bytes(b"no sound at all")
    with pytest.raises(ValueError, match=r"^[^\n]*a\.mp3: unreadable sound: [^\n]+$"):
        audio.decode(file)


def split(length: int, samples: int, chunks: int) -> audio.SoundSplit:
    """One clip of `length` samples, 1, 2, 3, ... of 32768."""
    row = np.zeros(2 * 20 + 4, np.uint8)
    row[: 2 * length] = np.arange(1, length + 1, dtype="<i2").view(np.uint8)
    row[-4:] = np.array([length], "<i4").view(np.uint8)
    windows = audio.Windows(samples, chunks, 20)
    return audio.SoundSplit(
        torch.from_numpy(row)[None], torch.tensor([0]), torch.tensor([7]), ["a"], windows, Place(Path(), Path())
    )


def cut(made: audio.SoundSplit, key: int | None) -> list:
    sound, targets = next(iter(made.batches([torch.tensor([0])], key)))
    assert targets.tolist() == [7]
    return (sound[0] * audio.FULL).tolist()


def test_what_is_cut_out_of_a_clip():
    assert cut(split(6, 4, 1), None) == [2, 3, 4, 5]  # the middle
    assert cut(split(2, 4, 1), None) == [0, 1, 2, 0]
    assert cut(split(20, 4, 4), None) == [[3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14], [15, 16, 17, 18]]
    starts = {cut(split(6, 4, 4), key)[0] for key in range(60)}
    assert starts == {1, 2}  # floor of [0, 2)
    short = {tuple(cut(split(3, 5, 1), key)) for key in range(60)}
    assert short == {(0, 1, 2, 3, 0), (0, 0, 1, 2, 3)}
    assert cut(split(9, 4, 1), 5) == cut(split(9, 4, 1), 5)


def test_without_soundfile_the_line_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(needed, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"^data=mtat: soundfile not found; pip install soundfile .*`audio`"):
        needed.look(groups.raw("data", "mtat") | {"synthetic": 8}, tmp_path)


SPEAKER = """#!{python}
import sys, wave
with wave.open(sys.argv[sys.argv.index("-w") + 1], "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(b"\\x10\\x20" * 30000)
"""


def test_words_are_spoken_in_speech_commands_layout(monkeypatch, tmp_path):
    speaker = tmp_path / "bin" / "espeak-ng"
    speaker.parent.mkdir()
    speaker.write_text(SPEAKER.format(python=sys.executable))
    speaker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{speaker.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(spoken_words, "ACCENTS", ("en-us",))
    monkeypatch.setattr(spoken_words, "VARIANTS", {"train": ("m1",), "validation": ("m2",), "test": ("m3",)})
    monkeypatch.setattr(spoken_words, "WORDS", ("up", "down"))
    monkeypatch.setattr(sys, "argv", ["data.spoken_words", "--root", str(tmp_path)])
    spoken_words.main()
    with pytest.raises(SystemExit, match=r"spoken_words is there already$"):
        spoken_words.main()
    found = load("spoken_words", tmp_path, num_classes=2)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [2, 2, 2]
    assert found.train.targets.tolist() == [0, 1]
    info = soundfile.info(tmp_path / "spoken_words/up/en-us+m1_nohash_0.wav")
    assert (info.samplerate, info.frames, info.subtype) == (16000, 16000, "PCM_16")


def test_a_missing_espeak_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["data.spoken_words", "--root", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^espeak-ng not found; apt-get install espeak-ng$"):
        spoken_words.main()
