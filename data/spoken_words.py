"""Words spoken by espeak-ng in many voices, in the layout of Speech Commands: a set for two CPU cores.

python -m data.spoken_words --root DIR    # DIR/spoken_words/<word>/<speaker>_nohash_0.wav, some minutes
"""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from data.audio import RATE, as_16_bits
from data.imagenet_tars import Parser
from data.sounds import LISTS
from data.stored import published

WORDS = (  # those of Speech Commands
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy"),
    *("house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six"),
    *("stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)
ACCENTS = ("en-us", "en-us-nyc", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
VARIANTS = {"train": ("m1", "m3", "m4", "m5", "m7", "f1", "f3", "f4"), "validation": ("m6", "f5"), "test": ("m2", "f2")}
SPEED, PITCH, NOISE = (120, 200), (30, 70), (0.005, 0.05)  # words a minute; of espeak-ng; standard deviation: drawn


def speak(folder: Path) -> None:
    """Write the set: every word by every speaker, an accent and a variant of the voice, those tested on unheard before.

    Raises FileNotFoundError or FileExistsError, one line, without espeak-ng, or where the folder is there.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already")
    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError("espeak-ng not found; apt-get install espeak-ng")
    with published(folder) as draft, ThreadPoolExecutor() as pool:
        draft.mkdir()
        for part, variants in VARIANTS.items():
            speakers = [f"{accent}+{variant}" for accent in ACCENTS for variant in variants]
            names = [f"{word}/{speaker}_nohash_0.wav" for word in WORDS for speaker in speakers]
            list(pool.map(lambda name: _clip(draft / name), names))
            if part in LISTS:
                (draft / LISTS[part]).write_text("".join(f"{name}\n" for name in names))


def _clip(file: Path) -> None:
    """Write one clip of a second at 16 kHz, with noise; the draws depend on its name alone."""
    import soundfile

    word, voice = file.parent.name, file.name.partition("_")[0]
    draw = np.random.default_rng([*f"{word}/{voice}".encode()])
    speed, pitch = (str(draw.integers(*bounds)) for bounds in (SPEED, PITCH))
    file.parent.mkdir(exist_ok=True)
    subprocess.run(["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", file, word], check=True)
    wave, rate = soundfile.read(file, dtype="float32")
    spoken = as_16_bits(wave, rate)[:RATE] / np.float32(1 << 15)
    soundfile.write(file, spoken + draw.normal(0, draw.uniform(*NOISE), len(spoken)), RATE)


def main() -> None:
    """Run the command line; a mistake is one line on stderr, exit code 1."""
    parser = Parser(prog="python -m data.spoken_words", description="Words spoken by espeak-ng.")
    parser.add_argument("--root", type=Path, required=True, help="the data folder (paths.data)")
    try:
        speak(parser.parse_args().root / "spoken_words")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
