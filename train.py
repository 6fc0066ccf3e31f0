"""Train one network with one optimizer: all that one run does, top to bottom.

    python train.py optimizer=sing model=resnet18    (or --help)

Exit codes: 0 finished, diverged or already there; 1 a user's mistake; 70 a failure; 75 stopped, or claimed by another
process: run the same command again.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import data
from conf import cli, command_line, metrics, multirun, reference
from conf.compose import compose
from record.supervise import AGAIN, DONE, NullWriter, Writer, leave, skip_if_finished, supervise

if __name__ == "__main__":
    cli.interruptible()
    ASKED = command_line.begin(skip_if_finished, data.look)

import torch
from torch import Tensor, nn

import models
import optim
import probes
from record import Claimed, Run, loggers
from record.provenance import epoch_seconds, fixed_seconds, reference_store
from training import build, contract, mixing, runtime, tasks
from training.budget import Budget, Clock, WallclockOf
from training.distribution import World, convert_sync_batchnorm, maybe_no_sync
from training.losses import Losses
from training.progress import progress
from training.random import Streams
from training.runtime import Diverged, SharedStop, Stopped, StopRequest, in_precision
from training.schedule import Schedule
from training.selection import Selection, time_to_target
from training.state import Stateful, TrainState, checkpoint, load_selected_weights, outcome, resume
from training.warnings import Warnings, both_outputs, not_invariant, overlap

CHECK_EVERY = 16  # steps between looks that wait for a GPU or for other processes: finite loss, request to stop


class Trainer:
    """One run: its parts, its loop and its state."""

    def __init__(self, config: dict[str, Any], world: World, device: torch.device) -> None:
        """Build everything, the data last: they may take long to read.

        Raises ValueError, TypeError, OSError or ImportError for what the user has to mend.
        """
        self.config, self.world, self.device = config, world, device
        self.streams = Streams(config["seed"])
        loggers.check(config["logger"])
        with self.streams.fork("initialisation"):
            facts = {key: config["data"][key] for key in ("num_classes", "in_channels", "image_size")}
            model = models.build(config["model"], **facts)
        self.model = convert_sync_batchnorm(model, config["bn"], device).to(device)
        if config["channels_last"]:
            self.model.to(memory_format=torch.channels_last)
        self.frozen = contract.freeze(self.model, config["freeze"])
        options, compiled = config["optimizer"], config["compile_optimizer"]
        self.optimizer, self.groups = optim.configure(options, self.model, compile=compiled)
        contract.check(self.optimizer)
        contract.to_train(self.optimizer)
        self.schedule = build(Schedule, config["schedule"])
        self.budget = build(Budget, config["budget"])
        self.load_data()
        with self.streams.fork("rehearsal", device=device):
            steps = self.budget.left(0, self.steps_per_epoch)
            smallest = contract.smallest_piece(config, len(self.data.train), world.size, steps)
            contract.rehearse(self.model, facts["in_channels"], facts["image_size"], smallest, device)
        world.join(device)
        forward = world.wrap(self.model, device)
        self.forward = torch.compile(forward, dynamic=False) if config["compile_model"] else forward
        self.predict = in_precision(self.forward, config["precision"], device)
        self.observer = probes.build(config["probe"], self.model, self.optimizer, self.streams.key("probes"))

    def load_data(self) -> None:
        """Read the data set, and build what depends on it."""
        config = self.config
        root, cache = (Path(config["paths"][name]) for name in ("data", "cache"))
        dtype = torch.bfloat16 if config["precision"] == "bf16" else torch.float32
        load = partial(data.load, config["data"], root=root, cache=cache, workers=config["workers"])
        self.data = load(device=self.device, dtype=dtype, channels_last=config["channels_last"])
        self.steps_per_epoch = -(-len(self.data.train) // config["batch_size"])
        self.task = tasks.build(config, self.data.train)
        self.mix = mixing.build(config["mix"], config["data"]["num_classes"])

    def fit(self, run: Writer, stop: StopRequest) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Train from the last checkpoint, or from the start, to the end of the budget.

        Returns the result, and the weights that it is about. Raises Stopped when `stop` was raised.
        """
        self.start(run, stop)
        try:
            while True:
                if self.state.epoch_end_pending():
                    self.end_epoch()
                if self.state.over():
                    return self.result("done")
                self.train_epoch()
        except Diverged:
            return self.result("diverged")
        finally:
            self.show.close()
            self.log.close()

    def start(self, run: Writer, stop: StopRequest) -> None:
        """Take up the state of the last checkpoint, or that of the start, and open what the run writes and shows."""
        self.run, self.stop, config = run, stop, self.config
        metric = metrics.SELECTS[config["data"]["task"]]
        selection = Selection(config["selection"], metric, metrics.metric(metric).sign, self.budget.timed)
        clock = Clock(synchronize=partial(runtime.synchronize, self.device))
        self.state = TrainState(self.budget, self.steps_per_epoch, clock, self.task.meter(), selection)
        self.parts: dict[str, Stateful] = {"model": self.model, "optimizer": self.optimizer, "observer": self.observer}
        if resume(run.load_checkpoint(), self.state, self.parts, self.world, self.device):
            run.log(f"resumed at step {self.state.step}")
        self.loss, self.saved_at = torch.zeros((), device=self.device), time.monotonic()
        shown = self.world.is_main and config["progress"]
        self.show = progress(shown, self.state.total_steps, self.state.step, config["batch_size"])
        self.warnings = Warnings(config["warnings"], shown)
        self.warnings.at_start(config, self.optimizer, self.schedule.unfinished(self.state.horizon))
        self.warnings.check("overlap", overlap, self.data.train, self.data.validation, self.data.test)
        if config["compile_model"]:
            eager, size = in_precision(self.model, config["precision"], self.device), config["evaluate"]["batch_size"]
            self.warnings.watch(partial(both_outputs, self.predict, eager, self.model, self.data.test, size))
        self.log, self.losses = loggers.Log(config["logger"], run), Losses(self.model, config["log"]["every_steps"])

    def train_epoch(self) -> None:
        """Train from where the epoch is to its end, or to the end of the run."""
        epoch, position = divmod(self.state.step, self.steps_per_epoch)
        order = torch.randperm(len(self.data.train), generator=self.streams.generator("order", epoch))
        batches = torch.split(order, self.config["batch_size"])[position:][: self.state.steps_left()]
        shards, weights = zip(*map(self.world.shard, batches), strict=True)
        pieces = [self.world.pieces(batch, self.config["accumulation"]) for batch in batches]
        self.model.train()
        with self.state.clock.running():
            augmented = self.data.train.batches(shards, self.streams.key("augmentation", epoch))
            for batch, weight, number in zip(augmented, weights, pieces, strict=True):
                with self.state.counted_step():
                    self.train_step(batch, weight, number)
                self.after_step()

    def train_step(self, batch: mixing.Batch, weight: float, pieces: int) -> None:
        """Take one step of the optimizer, however often it evaluates the loss."""
        step, calls, first = self.state.step, 0, not self.state.step_seconds
        batch = self.mix(batch, self.streams.generator("mix", step, self.world.rank))
        rate = self.schedule.apply(self.optimizer, step, self.state.horizon)
        # To pause the clock is to wait for the device: it is paused only where there is something to look at.
        paused = self.state.clock.paused
        aside = paused if first or self.observer.due(step) else nullcontext

        def closure() -> Tensor:
            nonlocal calls
            calls += 1
            masks = self.streams.fork("dropout", step, self.world.rank, device=self.device)  # the same each time
            with contract.evaluation(self.model, self.optimizer, again=calls > 1), masks:
                loss = self.batch_loss(batch, weight, pieces, counted=calls == 1)
            if calls == 1:
                self.loss = loss  # what the step returns may be another's, a number, or nothing
                with aside():
                    self.observer.gradients()
                    if first:
                        self.warnings.check("invariance", not_invariant, optim.suspects, self.model, self.groups)
            return loss

        with aside():
            self.observer.begin(step, step // self.steps_per_epoch)
        compiles = first and (self.config["compile_model"] or self.config["compile_optimizer"])
        with paused() if compiles else nullcontext():
            self.optimizer.step(cast(Callable[[], float], closure))
        if not calls:
            raise RuntimeError(f"{type(self.optimizer).__name__}.step never called its closure: nothing is trained")
        with aside():
            self.log.rows(self.observer.end(rate))
            if first:
                self.warnings.after_a_step(self.model)

    def batch_loss(self, batch: mixing.Batch, weight: float, pieces: int, counted: bool) -> Tensor:
        """Return the mean loss of a batch; where gradients are enabled, leave its gradient in `p.grad`.

        weight: makes the mean over the processes of their shards' losses the mean over the global batch. pieces: how
        many forward and backward passes it takes, the same number on every process.
        """
        if torch.is_grad_enabled():
            self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        for number, piece in enumerate(mixing.split(batch, pieces), start=1):
            with maybe_no_sync(self.forward, self.optimizer, last=number == pieces):
                loss = self.task.loss(self.predict, piece, self.state.meter if counted else None)
                loss = loss * (weight * mixing.size(piece) / mixing.size(batch))
                if torch.is_grad_enabled():
                    loss.backward()
            total += loss.detach()
        if torch.is_grad_enabled() and self.config["clip_norm"]:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config["clip_norm"])
        return total

    def after_step(self) -> None:
        """Look whether to go on, and write a checkpoint when one is due."""
        look = self.state.step % CHECK_EVERY == 0
        self.losses.add(self.state.step, self.loss)
        if look or self.device.type == "cpu":
            with self.state.clock.paused():
                self.world.require_finite([self.loss])
                self.show.step(self.state.step, float(self.loss))
        agreed = look or self.world.size == 1
        if agreed and self.world.any(bool(self.stop), self.device):
            self.save(required=True)
            raise Stopped
        self.save_when_due(agreed)

    def save_when_due(self, agreed: bool) -> None:
        """Write a checkpoint when one is due; by the clock only where all processes can agree that it is time."""
        steps, minutes = (self.config["checkpoint"][key] for key in ("every_steps", "every_minutes"))
        late = agreed and self.world.any(time.monotonic() - self.saved_at > 60 * minutes, self.device)
        if late or (steps and self.state.step % steps == 0):
            self.save()

    def save(self, required: bool = False) -> None:
        with self.state.clock.paused():
            self.world.require_equal(self.model)
            self.log.rows(self.losses.rows(self.world))
            self.run.save_checkpoint(checkpoint(self.state, self.parts, self.world), self.state.step, required=required)
            self.saved_at = time.monotonic()

    def end_epoch(self) -> None:
        """Let the optimizer end its epoch, on the clock; then evaluate, select and log."""
        state, target = self.state, self.config["target"]
        self.world.require_finite([self.loss, *self.model.parameters()])
        if state.step % self.steps_per_epoch == 0:
            with state.clock.running():
                getattr(self.optimizer, "epoch_end", lambda: None)()
        state.count_epoch(self.world.broadcast_object(state.clock.seconds))
        self.world.require_equal(self.model)
        row: dict[str, Any] = {"epoch": state.epoch, "step": state.step, "seconds": state.clock.seconds}
        row |= {"lr": float(self.optimizer.param_groups[0]["lr"])} | state.meter.reduce(self.world).result("train_")
        with contract.evaluated(self.model, self.optimizer):
            if state.over() or state.epoch % self.config["evaluate"]["every_epochs"] == 0:
                row |= self.scores(test=self.config["evaluate"]["test"] == "every")
            state.selection.update(row, self.budget.counts(state.clock.seconds), self.model)
        if target["metric"]:
            state.look_at_target(time_to_target(target, metrics.metric(target["metric"]).sign, row))
        self.log.rows([*self.losses.rows(self.world), {"kind": "epoch", **row}, *self.observer.epoch_end(state.epoch)])
        self.show.row(row)
        state.next_epoch(self.task.meter())
        self.save_when_due(agreed=True)

    def scores(self, test: bool = True) -> dict[str, float]:
        """Evaluate the current weights on the validation split, if there is one, and on the test split if asked."""
        held_out = {"validation": self.data.validation, "test": self.data.test if test else None}
        size = self.config["evaluate"]["batch_size"]
        return tasks.evaluate(self.task, self.model, self.predict, held_out, size, self.world)

    def result(self, ending: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the result of a run that is `done` or `diverged`, and its weights: the selected, or the last ones."""
        if ending == "done":
            contract.to_evaluate(self.optimizer)
            load_selected_weights(self.state, self.model, self.scores)
        facts = {"groups": self.groups, "frozen": self.frozen, "data_fingerprint": self.data.fingerprint}
        size, memory = sum(map(Tensor.numel, self.model.parameters())), runtime.memory(self.device, self.optimizer)
        if ending == "diverged":
            self.log.rows(self.losses.rows(self.world))
            facts["diverged"] = self.losses.diverged(self.state.step, self.world)
        found = outcome(ending, self.state, self.config["target"]) | {"memory": memory, "parameters": size}
        return found | facts, self.model.state_dict()


def run(config: dict[str, Any], overrides: list[str], stop: StopRequest | None = None) -> int:
    """Make the run that `config` describes, unless it is there already; returns the exit code.

    stop: of one who listens for signals already. Raises UsageError, before it writes, for what the user has to mend.
    """
    if skip_if_finished(config):
        return DONE
    world = World.from_environment()
    with cli.one_line(unless=config["traceback"]):
        device = runtime.pick_device(config["device"], world.local_rank)
        runtime.set_kernels(config["precision"], device, config["threads"])
        trainer = Trainer(config, world, device)
    facts = {"device": device.type, "gpu": runtime.gpu_name(device), "threads": torch.get_num_threads()}
    stop = StopRequest() if stop is None else stop
    try:
        with cli.one_line(unless=config["traceback"], but=Claimed):
            code = fix_budget(trainer, overrides, facts, stop)
        return code or make(trainer, overrides, facts, stop)
    except Claimed as error:
        print(error)
        return AGAIN
    finally:
        stop.forget()
        world.leave()


def make(trainer: Trainer, overrides: list[str], facts: dict[str, Any], stop: StopRequest) -> int:
    """Train what is built and leave its record; returns the exit code."""
    config, store = trainer.config, trainer.config["paths"]["store"]
    with cli.one_line(unless=config["traceback"], key="paths.store", but=Claimed):
        main = trainer.world.is_main
        writer: Run | NullWriter = Run(store, config, overrides=overrides, facts=facts) if main else NullWriter()
    with writer as run:
        return supervise(run, lambda: trainer.fit(run, stop), (Stopped, KeyboardInterrupt))


def fix_budget(trainer: Trainer, overrides: list[str], facts: dict[str, Any], stop: StopRequest) -> int:
    """Give a wall-clock budget its seconds: those of its first start, else what the reference's epochs took here.

    Makes the reference's run if it is missing; returns its exit code. `facts` gets the seconds, for the record. Raises
    ValueError for a reference that gives no time.
    """
    config, world, budget = trainer.config, trainer.world, trainer.budget
    if not isinstance(budget, WallclockOf):
        return DONE
    words = reference.words(overrides, budget.reference)
    other = reference.configuration(compose(words), config, reference_store(config["paths"]["store"], facts))
    seconds, epoch = world.broadcast_object((fixed_seconds(config), epoch_seconds(other)))
    if seconds is None and epoch is None:
        if code := make(Trainer(other, world, trainer.device), words, facts, stop):
            return code
        epoch = world.broadcast_object(epoch_seconds(other))
    facts["budget_seconds"] = budget.measured(seconds, epoch)
    return DONE


def job(shared: SharedStop, config: dict[str, Any], overrides: list[str]) -> int:
    """Make one run of a multirun, in whatever process; returns its exit code."""
    with shared.listening() as stop:
        return AGAIN if shared else cli.attempt(lambda: run(config, overrides, stop))


def main(asked: command_line.Asked) -> int:
    """Make what a command line asks for; returns the exit code, the worst of several."""
    if not asked.several:
        return run(*asked.jobs[0])
    from train import job as importable  # launchers that pickle by reference find it under this name

    with tempfile.TemporaryDirectory(prefix="stepbench-") as name:
        folder, shared = Path(name), SharedStop(Path(name))
        with shared.listening():
            return multirun.launch(asked.jobs, asked.launcher, partial(importable, shared), shared, folder)


if __name__ == "__main__":
    leave(cli.guarded(lambda: main(ASKED)) or DONE)
