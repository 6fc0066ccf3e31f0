"""Train one network with one optimizer: all that one run does, top to bottom.

    python train.py optimizer=sing model=resnet18
    python train.py --help

Exit codes: 0 finished, diverged or already there; 1 a user's mistake; 70 a failure; 75 stopped, or claimed by another
process: run the same command again.
"""

import tempfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import data
from conf import cli, command_line, metrics, multirun, reference
from conf.compose import compose
from record.announce import already_there
from record.supervise import AGAIN, DONE, leave, supervise

if __name__ == "__main__":
    ASKED = command_line.begin(already_there, data.look)

import torch
from torch import Tensor, nn

import models
import optim
import probes
from record import Claimed, Run, loggers
from record.follower import Follower
from record.reference import epoch_seconds, fixed_seconds, reference_store
from training import assemble, canaries, contract, norms, timing
from training.budget import Clock, WallclockOf
from training.distribution import World
from training.evaluation import evaluate, summed
from training.outcome import crossing, outcome
from training.precision import autocast, pick_device, set_kernels
from training.progress import progress
from training.rehearsal import rehearse, smallest_piece
from training.schedule import Horizon
from training.selection import Selection
from training.state import resume, state_of
from training.stop import Diverged, SharedStop, Stopped, StopRequest
from training.streams import Streams

CHECK_EVERY = 16  # steps between looks that wait for a GPU or for other processes: finite loss, request to stop


class Trainer:
    """One run: its parts, its loop and its state."""

    def __init__(self, config: dict[str, Any], world: World, device: torch.device) -> None:
        """Build everything, the data last: they may take long to read.

        Raises ValueError, TypeError, OSError or ImportError for what the user has to mend.
        """
        self.config, self.world, self.device = config, world, device
        self.batch_size, self.precision = config["batch_size"], config["precision"]
        self.streams = Streams(config["seed"])
        loggers.check(config["logger"])
        with self.streams.fork("initialisation"):
            facts = {key: config["data"][key] for key in ("num_classes", "in_channels", "image_size")}
            self.model = models.build(config["model"], **facts)
        self.model = norms.synchronised(self.model, config["bn"], device).to(device)
        if config["channels_last"]:
            self.model.to(memory_format=torch.channels_last)
        self.frozen = norms.freeze(self.model, config["freeze"])
        self.optimizer, self.groups = optim.configure(
            config["optimizer"], self.model, compile=config["compile_optimizer"]
        )
        self.schedule, self.budget = assemble.schedule(config["schedule"]), assemble.budget(config["budget"])
        contract.check(self.optimizer)
        contract.to_train(self.optimizer)
        self.data = data.load(config["data"], device=device, **assemble.place(config))
        self.objective, self.mix = assemble.objective(config, self.data.train), assemble.mix(config)
        self.steps_per_epoch = -(-len(self.data.train) // self.batch_size)
        with self.streams.fork("rehearsal", device=device):
            steps = self.budget.left(0, self.steps_per_epoch)
            alone = smallest_piece(config, len(self.data.train), world.size, steps)
            rehearse(self.model, facts["in_channels"], facts["image_size"], alone, device)
        self.step, self.ended_at, self.loss = 0, 0, torch.zeros((), device=device)
        self.clock = Clock(settle=partial(timing.settle, device))
        self.shown = world.leads and config["progress"]
        self.epoch_seconds: list[float] = []
        self.step_seconds: list[float] = []  # of this process alone
        self.reached: dict[str, Any] | None = None
        chosen_by = metrics.SELECTS[config["data"]["task"]]
        self.selection = Selection(config["selection"], chosen_by, metrics.metric(chosen_by).sign, self.budget.timed)
        self.meter = self.objective.meter()
        world.join(device)
        forward = world.wrap(self.model, device)
        self.forward = torch.compile(forward, dynamic=False) if config["compile_model"] else forward
        self.compiles = config["compile_model"] or config["compile_optimizer"]
        self.observer = probes.build(config["probe"], self.model, self.optimizer, self.streams.key("probes"))

    def fit(self, run: Run | Follower, stop: StopRequest) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Train from the last checkpoint, or from the start, to the end of the budget.

        Returns the result and the weights that it speaks of. Raises Stopped when `stop` was raised.
        """
        self.run, self.stop = run, stop
        resume(self)
        self.saved_at = timing.now()
        self.show = progress(self.shown, self.total_steps, self.step, self.batch_size)
        canaries.warn(self, canaries.AT_START)
        self.log = loggers.Log(self.config["logger"] if self.world.leads else {}, run)
        try:
            while True:
                if self.owes_end():
                    self.end_epoch()
                if self.over():
                    return outcome(self, "done")
                self.train_epoch()
        except Diverged:
            return outcome(self, "diverged")
        finally:
            self.show.close()
            self.log.close()

    @property
    def total_steps(self) -> int | None:
        """The run's length; a timed budget has none before its first epoch is over."""
        return self.budget.total_steps(self.steps_per_epoch, next(iter(self.epoch_seconds), None))

    def over(self) -> bool:
        return self.budget.over(self.step, self.steps_per_epoch, self.clock.seconds)

    def owes_end(self) -> bool:
        """Tell whether an epoch's last step is taken and its end is not; a checkpoint may lie between the two."""
        return self.ended_at != self.step and (self.step % self.steps_per_epoch == 0 or self.over())

    def train_epoch(self) -> None:
        """Train from where the epoch stands to its end, or to the end of the run."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        order = torch.randperm(len(self.data.train), generator=self.streams.generator("order", epoch))
        batches = order.split(self.batch_size)[position:][: self.budget.left(self.step, self.steps_per_epoch)]
        shares, weights = zip(*map(self.world.share, batches), strict=True)
        pieces = [self.world.pieces(batch, self.config["accumulation"]) for batch in batches]
        self.model.train()
        self.clock.start()
        augmented = self.data.train.batches(shares, self.streams.key("augmentation", epoch))
        for (inputs, targets), weight, number in zip(augmented, weights, pieces, strict=True):
            self.train_step(inputs, targets, weight, number)
            self.step += 1
            self.after_step()
        self.clock.pause()

    def train_step(self, inputs: Tensor, targets: Tensor, weight: float, pieces: int) -> None:
        """Take one step of the optimizer, whatever number of evaluations it asks for.

        The first has gradients in any case: an optimizer may call its closure under no_grad and step afterwards.
        """
        began, calls = timing.now(), 0
        inputs, targets = self.mix(inputs, targets, self.streams.generator("mix", self.step, self.world.rank))
        horizon = Horizon(self.steps_per_epoch, self.total_steps or 10**9)
        rate = self.schedule.apply(self.optimizer, self.step, horizon)
        first = not self.step_seconds
        # A clock that stands has waited for the device: it stands only where there is something to look at.
        aside = self.clock.standing if first or self.observer.due(self.step) else nullcontext
        moving_statistics = getattr(self.optimizer, "batch_norm_statistics", "first") == "all"

        def closure() -> Tensor:
            nonlocal calls
            calls += 1
            again = calls > 1  # the same batch once more: same masks, and nothing is counted twice
            with (
                torch.set_grad_enabled(not again or torch.is_grad_enabled()),
                self.streams.fork("dropout", self.step, self.world.rank, device=self.device),
                norms.frozen_statistics(self.model, again and not moving_statistics),
            ):
                loss = self.batch_loss(inputs, targets, weight, pieces, counted=not again)
            if not again:
                self.loss = loss  # what the step returns may be another's, a number, or nothing
                with aside():
                    self.observer.gradients()
            return loss

        with aside():
            self.observer.begin(self.step, self.step // self.steps_per_epoch)
        with self.clock.standing() if self.compiles and first else nullcontext():
            self.optimizer.step(closure)
        if not calls:
            raise RuntimeError(f"{type(self.optimizer).__name__}.step never called its closure: nothing is trained")
        with aside():
            self.log.rows(self.observer.end(rate))
            if first:
                canaries.warn(self, canaries.AFTER_A_STEP)
        self.step_seconds.append(timing.now() - began)

    def batch_loss(self, inputs: Tensor, targets: Tensor, weight: float, pieces: int, counted: bool) -> Tensor:
        """Return the mean loss of a batch; where gradients are enabled, leave its gradient in `p.grad`.

        weight: makes the mean over the processes of their shares' losses the mean over the global batch. pieces: how
        many forward and backward passes it takes, the same number on every process.
        """
        if torch.is_grad_enabled():
            self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        parts = zip(inputs.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
        for number, (x, y) in enumerate(parts, start=1):
            with assemble.synchronised(self.forward, self.optimizer, last=number == pieces):
                outputs = self.outputs(x)
                loss = self.objective.loss(outputs, y) * (weight * len(x) / len(inputs))
                if torch.is_grad_enabled():
                    loss.backward()
            total += loss.detach()
            if counted:
                self.meter.update(outputs.detach(), y)
        if torch.is_grad_enabled() and self.config["clip_norm"]:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config["clip_norm"])
        return total

    def after_step(self) -> None:
        """Look whether to go on, and write a checkpoint when one is due."""
        look = self.step % CHECK_EVERY == 0
        if look or self.device.type == "cpu":
            with self.clock.standing():
                self.world.require_finite([self.loss])
                self.show.step(self.step, float(self.loss))
        agreed = look or self.world.size == 1
        if agreed and self.world.any(bool(self.stop), self.device):
            self.save(required=True)
            raise Stopped
        self.save_when_due(agreed)

    def end_epoch(self) -> None:
        """Let the optimizer end its epoch, on the clock; then evaluate, select and log."""
        self.world.require_finite([self.loss, *self.model.parameters()])
        epoch = -(-self.step // self.steps_per_epoch)
        if self.step % self.steps_per_epoch == 0:
            with self.clock.running():
                getattr(self.optimizer, "epoch_end", lambda: None)()
        self.clock.seconds = self.world.tell(self.clock.seconds)  # one clock, or processes would end apart
        self.world.require_equal(self.model)
        self.epoch_seconds.append(self.clock.seconds - sum(self.epoch_seconds))
        self.ended_at = self.step
        row: dict[str, Any] = {"epoch": epoch, "step": self.step, "seconds": self.clock.seconds}
        row |= {"lr": float(self.optimizer.param_groups[0]["lr"])} | summed("train", self.meter, self.world)
        with contract.evaluated(self.model, self.optimizer):
            if self.over() or epoch % self.config["evaluate"]["every_epochs"] == 0:
                row |= self.scores()
            self.selection.offer(row, self.budget.counts(self.clock.seconds), self.model)
        if self.config["target"]["metric"] and not self.reached:
            self.reached = crossing(self.config["target"], metrics.metric(self.config["target"]["metric"]).sign, row)
        self.log.rows([{"kind": "epoch", **row}, *self.observer.epoch_end(epoch)])
        self.show.row(row)
        self.meter = self.objective.meter()
        self.save_when_due(agreed=True)

    def scores(self) -> dict[str, float]:
        """Evaluate the current weights on the validation split, if there is one, and on the test split."""
        splits = {"validation": self.data.validation, "test": self.data.test}
        size = self.config["evaluate"]["batch_size"]
        return evaluate(self.model, self.outputs, splits, self.objective, size, self.world)

    def outputs(self, inputs: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            return self.forward(inputs).float()

    def save_when_due(self, agreed: bool) -> None:
        """Write a checkpoint when one is due; by the clock only where all processes can agree that it is time."""
        steps, minutes = (self.config["checkpoint"][key] for key in ("every_steps", "every_minutes"))
        late = agreed and self.world.any(timing.now() - self.saved_at > 60 * minutes, self.device)
        if late or (steps and self.step % steps == 0):
            self.save()

    def save(self, required: bool = False) -> None:
        with self.clock.standing():
            self.world.require_equal(self.model)
            self.run.save_checkpoint(state_of(self), self.step, required=required)
            self.saved_at = timing.now()


def run(config: dict[str, Any], overrides: list[str], stop: StopRequest | None = None) -> int:
    """Make the run that `config` describes, unless it is there already; returns the exit code.

    stop: of one who listens for signals already. Raises UsageError, before it writes, for what the user has to mend.
    """
    if already_there(config):
        return DONE
    world = World.from_environment()
    with cli.one_line(unless=config["traceback"]):
        device = pick_device(config["device"], world.local_rank)
        set_kernels(config["precision"], device, config["threads"])
        trainer = Trainer(config, world, device)
    facts = {"device": device.type, "gpu": timing.gpu_name(device), "threads": torch.get_num_threads()}
    stop = StopRequest() if stop is None else stop
    try:
        with cli.one_line(unless=config["traceback"], but=Claimed):
            code = fix_budget(trainer, overrides, facts, stop) if isinstance(trainer.budget, WallclockOf) else DONE
        return code or made(trainer, overrides, facts, stop)
    except Claimed as error:
        print(error)
        return AGAIN
    finally:
        stop.forget()
        world.leave()


def made(trainer: Trainer, overrides: list[str], facts: dict[str, Any], stop: StopRequest) -> int:
    """Train what is built and leave its record; returns the exit code."""
    config, store = trainer.config, trainer.config["paths"]["store"]
    with cli.one_line(unless=config["traceback"], key="paths.store", but=Claimed):
        writer = Run(store, config, overrides=overrides, facts=facts) if trainer.world.leads else Follower()
    with writer as run:
        return supervise(run, lambda: trainer.fit(run, stop), (Stopped, KeyboardInterrupt))


def fix_budget(trainer: Trainer, overrides: list[str], facts: dict[str, Any], stop: StopRequest) -> int:
    """Give a wall-clock budget its seconds: those of its first start, else what the reference's epochs took here.

    Makes the reference's run if it is missing; returns its exit code. `facts` gets the seconds, for the record. Raises
    ValueError for a reference that gives no time.
    """
    config, world, budget = trainer.config, trainer.world, trainer.budget
    words = reference.words(overrides, budget.reference)
    mine = reference.yardstick(compose(words), config, reference_store(config["paths"]["store"], facts))
    seconds, epoch = world.tell((fixed_seconds(config), epoch_seconds(mine)))
    if seconds is None and epoch is None:
        if code := made(Trainer(mine, world, trainer.device), words, facts, stop):
            return code
        epoch = world.tell(epoch_seconds(mine))
    facts["budget_seconds"] = seconds or budget.epochs * epoch
    trainer.budget = replace(budget, seconds=facts["budget_seconds"])
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
    leave(cli.guarded(lambda: main(ASKED)))
