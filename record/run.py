"""One claimed run folder, from its first line to its result."""

import os
import time
import traceback as tracebacks
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from record import checkpoint
from record.claim import BEAT, STALE, Claim, Claimed, is_live
from record.clean import set_aside
from record.files import SCHEMA, digest, open_regular, read_as, temporaries, write_atomic, write_json
from record.identity import complete, group_id, run_folder, run_id, semantic
from record.lines import Lines
from record.provenance import code_diff, config_text, environment, labels_of, provenance
from record.read import read_result, read_status
from record.schema import Attempt, Environment, Result
from record.source import source_hashes


class Run:
    """The only writer of a run folder, while it is open.

        with Run(store, config, overrides=sys.argv[1:], facts={"device": "cpu", "threads": 2}) as run:
            state = run.load_checkpoint()        # None: from the start
            run.append({"epoch": 1, "loss": 0.7})
            run.save_checkpoint(state, step=100)
            run.finish({"state": "done", "metrics": {...}}, weights)

    Leaving the block by an exception without stop, fail or finish records a failure. Every method raises Claimed when
    the run was taken over, and OSError when the folder cannot be written.

    config: as composed. overrides: the command line that makes this run again. facts: what only torch knows
    (device, threads, gpu, ...); it is stored with the environment. beat, stale: of the claim, in seconds.
    """

    def __init__(
        self,
        store: Path | str,
        config: dict[str, Any],
        *,
        overrides: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
        beat: float = BEAT,
        stale: float = STALE,
    ) -> None:
        """Claim the folder and write how this attempt starts; a caller reads `read_result` first.

        Raises Claimed when another live process has the run or has finished it since, ValueError when there is a
        result that cannot be read, OSError when the folder cannot be written.
        """
        self.config = complete(config)
        self.semantic = semantic(self.config)
        self.id = run_id(self.semantic)
        self.folder = run_folder(store, self.config)
        if self.config.get("rerun"):
            set_aside(Path(store), self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim = Claim(self.folder, beat=beat, stale=stale)
        self._open = True
        self._readable = False
        try:
            for path in temporaries(self.folder):  # of a process that was killed; nobody else writes here now
                path.unlink(missing_ok=True)
            if read_result(self.folder) is not None:
                raise Claimed(f"{self.folder}: finished by another process in the meantime")
            self._begin(list(overrides), dict(facts or {}))
            self.metrics = Lines(self.folder / "metrics.jsonl", self._claim.check)
        except BaseException:
            self._claim.release(finished=(self.folder / "result.json").exists())
            raise

    def append(self, row: dict[str, Any]) -> None:
        """Add a row to metrics.jsonl."""
        self.metrics.append(row)

    def log(self, text: str) -> None:
        """Add a dated line to log.txt."""
        self._claim.check()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with open_regular(self.folder / "log.txt", "a") as file:
            file.write("".join(f"{stamp} {line}\n" for line in text.splitlines()))

    def save_checkpoint(self, state: Mapping[str, Any], step: int, *, required: bool = False) -> bool:
        """Write a checkpoint; True when it is durable.

        When it cannot be written (disk full) the two before survive, one line goes to the log and to stdout, and the
        run goes on: a resume starts from an earlier step.

        step: a part of its name. required: raise that OSError instead. Raises ValueError, one line, at the first save
        of a state that a resume could not read back: such a run must not go on for days.
        """
        self._claim.check()
        length = self.metrics.length
        rows = {"metrics_length": length, "metrics_sha256": digest(self.metrics.path, length)}
        content = checkpoint.packed({"run": self.id, **rows, "state": dict(state)})
        if not self._readable:
            checkpoint.require_readable(content)
            self._readable = True
        try:
            self.metrics.sync()
            checkpoint.save(self.folder, content, step, self._claim.check)
        except OSError as error:
            if required:
                raise
            self._notice(f"checkpoint at step {step} not written: {error.strerror or error}; the run goes on")
            return False
        return True

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the newest whole checkpoint's state, and cut metrics.jsonl to the length it knew; None: start afresh.

        Raises OSError or ValueError, one line, for one that cannot be read though it is whole, for one of another run,
        and for a metrics.jsonl that is shorter than it knew, or has other rows; nothing is changed then.
        """
        self._claim.check()
        stored = checkpoint.load(self.folder, self.id, self._notice)
        known = stored["metrics_length"] if stored else 0
        if stored and self.metrics.length >= known and digest(self.metrics.path, known) != stored["metrics_sha256"]:
            raise ValueError(
                f"{self.metrics.path}: its rows are not those that the newest checkpoint knows. "
                "Bring back the whole file, or delete the checkpoints to start afresh"
            )
        self.metrics.cut(known)
        return stored["state"] if stored else None

    def finish(self, result: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> Result:
        """Write result.json, last and atomically, and clean up as `keep` says. Returns what was written.

        result: `state` (done or diverged), `metrics` and whatever else the trainer knows. weights: kept as weights.pt
        unless `keep: none`; their SHA-256 is part of the result. Raises ValueError for a result that has a name which
        is added here.
        """
        self._claim.check()
        keep = self.config.get("keep", "weights")
        if weights is not None:
            result = {**result, "weights_sha256": checkpoint.weights_hash(weights)}
            if keep != "none":
                write_atomic(self.folder / "weights.pt", checkpoint.packed(weights), self._claim.check)
        self.metrics.sync()
        added = self._result()
        clash = sorted(added.keys() & result.keys())
        if clash:
            raise ValueError(f"result: {', '.join(clash)} is added by record")
        whole = {**added, **result}
        self._write("result.json", whole)
        self._write_status(str(result["state"]))
        if keep != "all":
            checkpoint.remove_all(self.folder)
        self._close(finished=True)
        return cast(Result, whole)

    def stop(self, message: str = "stopped") -> None:
        """Record that the run was asked to stop; the same command goes on from its last checkpoint."""
        with suppress(Claimed):
            self._write_status("stopped", message=message)
        self._close()

    def fail(self, kind: str, message: str, traceback: str = "") -> None:
        """Record a failure. kind: error, oom, disk, data, ...; message: one line; traceback: for log.txt."""
        with suppress(OSError, ValueError, Claimed):  # the disk, or what is in the folder, may be what failed
            self.log(f"failed ({kind}): {message}\n{traceback}")
            self._write_status("failed", kind=kind, message=message)
        with suppress(OSError):
            self._close()

    def __enter__(self) -> "Run":
        """Return the run itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Record a stop, or the failure that ended the block, unless the run has ended already."""
        if not self._open:
            return
        if error is None:
            self.stop("left without a result")
        else:
            self.fail("error", f"{type(error).__name__}: {error}", "".join(tracebacks.format_exception(error)))

    def _begin(self, overrides: list[str], facts: dict[str, Any]) -> None:
        """Write config, environment and status."""
        self._claim.check()
        write_atomic(self.folder / "config.yaml", config_text(self.config), self._claim.check)
        source = {"source": source_hashes(self.semantic)}
        attempt = {"started": time.time(), **environment(), **source, "overrides": overrides, **facts}
        self._attempts = [*self._attempts_before(), cast(Attempt, attempt)]
        self.attempt = len(self._attempts)  # from 1
        if diff := code_diff():
            path = self.folder / f"code-{self.attempt}.diff"
            write_atomic(path, diff.encode(errors="replace"), self._claim.check)
        self._write("environment.json", {"schema": SCHEMA, "attempts": self._attempts})
        self._write_status("running")

    def _attempts_before(self) -> list[Attempt]:
        """The earlier attempts; the last of them ended when it last wrote its status or its metrics."""
        try:
            attempts = read_as(Environment, self.folder / "environment.json")["attempts"]
        except FileNotFoundError:
            return []
        except ValueError as error:
            self._notice(f"{error}; its lines about earlier attempts are lost")
            return []
        written = [self.folder / name for name in ("status.json", "metrics.jsonl")]
        for last in attempts[-1:]:
            last["ended"] = max((path.stat().st_mtime for path in written if path.exists()), default=time.time())
        return attempts

    def _result(self) -> dict[str, Any]:
        now = time.time()
        return {
            "schema": SCHEMA,
            "id": self.id,
            "group_id": group_id(self.semantic),
            "config": self.semantic,
            "labels": labels_of(self.config),
            **provenance(self._attempts),
            "spans": [[attempt["started"], attempt.get("ended", now)] for attempt in self._attempts],
            "finished": now,
            "metrics_sha256": digest(self.folder / "metrics.jsonl"),
        }

    def _write_status(self, state: str, **more: Any) -> None:
        content = {"schema": SCHEMA, "state": state, "attempt": self.attempt, "updated": time.time()}
        self._write("status.json", {**content, "pid": os.getpid(), "host": environment()["host"], **more})

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        self._claim.check()
        write_json(self.folder / name, content, self._claim.check)

    def _notice(self, text: str) -> None:
        print(text, flush=True)
        with suppress(OSError, ValueError):
            self.log(text)

    def _close(self, *, finished: bool = False) -> None:
        self._open = False
        self.metrics.close()
        self._claim.release(finished=finished)


def mark_failed(folder: Path, kind: str, message: str) -> None:
    """Record why a run's process died, which it could not do itself; a finished or running run is left alone.

    kind: oom, crashed, timeout, ... message: one line. Raises OSError.
    """
    if (folder / "result.json").exists() or is_live(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        before = read_status(folder)
    except ValueError:
        before = None
    now = {"state": "failed", "kind": kind, "message": message, "updated": time.time()}
    with suppress(IsADirectoryError):  # readers name it
        write_json(folder / "status.json", {"schema": SCHEMA, "attempt": 0, **(before or {}), **now})
