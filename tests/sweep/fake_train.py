"""A fake train.py: the same contract with record, exit codes and signals, without torch and in half a second.

STEPBENCH_PLANT, e.g. `{"sgd-s1": "segv"}`, says which runs misbehave, and how.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from conf import reference
from conf.compose import compose
from record.claim import Claimed, is_live
from record.identity import run_folder
from record.provenance import epoch_seconds, reference_store
from record.read import read_result
from record.run import Run

EPOCHS, SECONDS = 4, float(os.environ.get("STEPBENCH_FAKE_SECONDS", "0.02"))
DEEDS = {
    "segv": lambda run: os.kill(os.getpid(), signal.SIGSEGV),
    "oom": lambda run: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda run: time.sleep(600),
    "deaf": lambda run: (signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(600)),
    "exit": lambda run: sys.exit(0),
    "error": lambda run: 1 / 0,
    "disk": lambda run: run.fail("disk", "OSError: No space left on device") or os._exit(70),
    "child": lambda run: subprocess.Popen(["sleep", "600.4321"]),
    "fill": lambda run: fill(run.folder / "log.txt"),
    "once": lambda run: run.attempt == 1 and os.kill(os.getpid(), signal.SIGKILL),
}


def fill(path: Path) -> None:
    with open(path, "ab") as file:
        while True:
            file.write(bytes(4096))
            file.flush()


def main(words: list[str]) -> int:
    config = compose(words)
    store = config["paths"]["store"]
    if read_result(run_folder(store, config)):
        print("already there")
        return 0
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    name = f"{config['optimizer']['name']}-s{config['seed']}"
    deed = json.loads(os.environ.get("STEPBENCH_PLANT", "{}")).get(name)
    try:
        run = Run(store, config, overrides=words, facts={"device": "cpu", "threads": 1})
    except Claimed as error:
        print(error)
        return 75
    try:
        return train(run, words, name, deed, stopped)
    except SystemExit:
        os._exit(0)  # without a word, as a library that calls exit would
    except Exception as error:
        run.fail("error", f"{type(error).__name__}: {error}")
        return 70


def train(run: Run, words: list[str], name: str, deed: str | None, stopped: list[int]) -> int:
    with open(Path(run.folder).parents[4] / "executed.txt", "a") as file:
        file.write(f"{run.id} {run.attempt} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    run.load_checkpoint()
    if run.config["budget"]["name"] == "wallclock_of":
        measure(run, words)
    digest = hashlib.sha256(run.id.encode()).hexdigest()
    for epoch in range(1, EPOCHS + 1):
        time.sleep(SECONDS)
        if stopped:
            run.stop()
            return 75
        if epoch == 2 and deed in DEEDS:
            DEEDS[deed](run)
        metrics = {"train_loss": 1 / epoch, "test_top1": int(digest[:4], 16) / 700}
        run.metrics.append({"kind": "epoch", "epoch": epoch} | metrics)
    result = {"state": "diverged" if deed == "nan" else "done", "metrics": metrics}
    run.finish(result | {"weights_sha256": digest, "epochs": EPOCHS, "time": {"train_seconds": EPOCHS * SECONDS}})
    return 0


def measure(run: Run, words: list[str]) -> None:
    """Make a wall-clock budget's reference as train.py does, and note whether this process was alone meanwhile."""
    facts = {"device": "cpu", "threads": int(os.environ["OMP_NUM_THREADS"])}
    config = compose(reference.words(words, run.config["budget"]["reference"]))
    config = reference.configuration(config, run.config, reference_store(run.config["paths"]["store"], facts))
    if epoch_seconds(config) is None:
        others = []
        for _ in range(10):
            time.sleep(0.03)
            others += [path for path in Path(run.folder).parents[3].rglob("claim-*.json") if is_live(path.parent)]
        with open(Path(run.folder).parents[4] / "measured.txt", "a") as file:
            file.write(f"{run.config['seed']} {len({path.parent for path in others})}\n")
        with Run(config["paths"]["store"], config, facts=facts) as measured:
            measured.finish({"state": "done", "metrics": {}, "time": {"epoch_seconds": {"median": 1.0}}})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
