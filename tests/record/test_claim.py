import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from record.claim import Claim, Claimed, _started, is_live, newest

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from record.claim import Claim, Claimed
while not Path(sys.argv[2]).exists(): pass
try:
    claim = Claim(Path(sys.argv[1]), beat=0.1, stale=1.0)
except Claimed as error:
    print("refused", flush=True)
else:
    print("won", flush=True)
    time.sleep(60)
"""


BEATS = """
import os, sys, time
for beat in range(200):
    t = float(sys.argv[2]) + beat
    os.utime(sys.argv[1], (t, t))
    time.sleep(0.1)
"""

RACE = """
import os, sys, tempfile, time
from pathlib import Path
from record import claim
claim.Claim(Path(tempfile.mkdtemp(dir=sys.argv[1]))).release()  # the children need not import what reads a claim
create = claim._create
def late(*claimed):
    time.sleep(max(0.0, start - time.monotonic()))  # by then all have seen that nobody has the run
    return create(*claimed)
claim._create = late
for number in range(10):
    folder, start = Path(tempfile.mkdtemp(dir=sys.argv[1])), time.monotonic() + 0.1
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            try:
                claim.Claim(folder)
                (folder / f"won-{os.getpid()}").touch()
                while len(list(folder.glob("*-*[0-9]"))) < 4: time.sleep(0.005)
            except claim.Claimed:
                (folder / f"lost-{os.getpid()}").touch()
            os._exit(0)
        children.append(child)
    for child in children: os.waitpid(child, 0)
    print(len(list(folder.glob("won-*"))), flush=True)
"""


def test_every_race_has_one_winner(tmp_path):
    words = [sys.executable, "-c", RACE, tmp_path]
    told = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120).stdout.split()
    assert told == ["1"] * 10


def contender(folder, gate):
    return subprocess.Popen([sys.executable, "-c", HOLD, folder, gate], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def race(folder, gate, count=6):
    """Let `count` processes claim at one moment; return the winners' processes."""
    processes = [contender(folder, gate) for _ in range(count)]
    time.sleep(0.4)
    gate.touch()
    words = [process.stdout.readline().strip() for process in processes]
    for process, word in zip(processes, words, strict=True):
        if word == "refused":
            process.wait()
            process.stdout.close()
    return [process for process, word in zip(processes, words, strict=True) if word == "won"]


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def foreign(folder, age, number=1):
    """Plant a claim of another machine whose heartbeat is `age` seconds old."""
    path = folder / f"claim-{number:06d}.json"
    path.write_text(json.dumps({"host": "far", "machine": "far/away", "pid": 1, "started": "1"}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_one_of_many_wins_and_after_kill_9_one_of_many_takes_over(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    first = race(folder, tmp_path / "gate1")
    assert len(first) == 1
    assert is_live(folder)
    kill(first[0])
    assert not is_live(folder)
    second = race(folder, tmp_path / "gate2")
    assert len(second) == 1
    kill(second[0])


def test_a_released_claim_can_be_taken_and_a_held_one_cannot(tmp_path):
    claim = Claim(tmp_path)
    with pytest.raises(Claimed, match=f"process {os.getpid()}"):
        Claim(tmp_path)
    claim.release()
    again = Claim(tmp_path)
    assert again.number == claim.number + 1
    again.release(finished=True)
    assert not list(tmp_path.iterdir())


def test_a_reused_pid_is_not_taken_for_the_holder(tmp_path):
    claim = Claim(tmp_path)
    claim.release()
    owner = json.loads(claim.path.read_text()) | {"released": False, "started": "1"}
    claim.path.write_text(json.dumps(owner))
    Claim(tmp_path).release()


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="only where there is /proc")
def test_a_holder_whose_name_is_cut_within_a_letter_is_found(tmp_path):
    """Linux keeps 15 bytes of a name, which may end within a letter: that is no UTF-8."""
    name = "trainingslaeufä".encode()[:15]
    rename = f"import pathlib, time; pathlib.Path('/proc/self/comm').write_bytes({name!r})"
    words = ["-c", f"{rename}; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            assert _started(process.pid) is not None
        finally:
            process.kill()


def test_another_machine_lives_by_its_heartbeat(tmp_path):
    foreign(tmp_path, age=5)
    with pytest.raises(Claimed, match="on far"):
        Claim(tmp_path, beat=0.1, stale=60)
    foreign(tmp_path, age=100)
    Claim(tmp_path, beat=0.1, stale=60).release()


def test_alien_claims_are_not_waited_for(tmp_path, monkeypatch):
    """Empty: its maker died between creating and signing it."""
    monkeypatch.setattr("record.claim.UNSIGNED", 0.1)
    (tmp_path / "claim-abc.json").write_text("{}")
    (tmp_path / "claim-000003.json").touch()
    (tmp_path / "claim-000002.json").mkdir()
    os.mkfifo(tmp_path / "claim-000001.json")
    assert not is_live(tmp_path)
    began = time.monotonic()
    claim = Claim(tmp_path, stale=60)
    assert claim.number == 4
    assert time.monotonic() - began < 30
    claim.check()
    claim.release()


def test_a_process_that_never_was_holds_nothing(tmp_path):
    claim = Claim(tmp_path)
    claim.release()
    owner = json.loads(claim.path.read_text()) | {"released": False, "started": None, "pid": 2**30}
    claim.path.write_text(json.dumps(owner))
    assert not is_live(tmp_path)


def test_a_removed_claim_is_noticed_and_the_next_ones_is_left_alone(tmp_path):
    claim = Claim(tmp_path, beat=0.02)
    claim.path.unlink()
    again = Claim(tmp_path)
    assert again.number == claim.number
    with pytest.raises(Claimed, match="or removed"):
        claim.check()
    claim.release(finished=True)
    again.check()
    again.release()


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_jump_of_the_clock_kills_no_beating_claim(tmp_path, jump):
    path = foreign(tmp_path, age=jump)
    beater = subprocess.Popen([sys.executable, "-c", BEATS, path, str(time.time() - jump)])
    try:
        time.sleep(0.2)
        with pytest.raises(Claimed):
            Claim(tmp_path, beat=0.4, stale=60)
    finally:
        beater.kill()
        beater.wait()
    Claim(tmp_path, beat=0.1, stale=60).release()


def test_a_slow_taker_with_an_old_number_does_not_win(tmp_path, monkeypatch):
    foreign(tmp_path, age=1000, number=5)
    # This taker saw claim 5 as stale, slept, and meanwhile 6 and 7 came; 6 is cleaned away, 7 beats.
    seen = newest(tmp_path)
    foreign(tmp_path, age=0, number=7)
    answers = [seen]
    monkeypatch.setattr("record.claim.newest", lambda folder: answers.pop() if answers else newest(folder))
    with pytest.raises(Claimed):
        Claim(tmp_path, beat=0.01, stale=60)


def test_the_holder_learns_that_it_was_taken_over(tmp_path):
    claim = Claim(tmp_path, beat=0.02)
    foreign(tmp_path, age=0, number=claim.number + 1)
    deadline = time.monotonic() + 5
    while not claim.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(Claimed, match="taken over"):
        claim.check()
    claim.release()
