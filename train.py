"""Train one network with one optimizer: all that one run does, top to bottom.

    python train.py optimizer=sing model=resnet18    (or --help)

Exit codes: 0 finished, diverged or already there; 1 a user's mistake; 70 a failure; 75 stopped, or claimed by another
process: run the same command again.
"""

from conf import begin

begin(__name__)

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import data
from conf import cli, command_line, groups, metrics, multirun, reference
from conf.compose import compose
from record.supervise import AGAIN, DONE, NullWriter, Writer, leave, skip_if_finished, supervise

if __name__ == "__main__":
    ASKED = command_line.begin(skip_if_finished, data.look)

import torch
from torch import Tensor, nn

import models
import optim
import probes
from data.dataset import Place
from record import claim, loggers, provenance
from record.run import Run
from training import build, contract, mixing, runtime, tasks
from training.budget import Budget, Clock, WallclockOf
from training.checkpoints import Checkpoints, Stateful
from training.distribution import Share, World, convert_sync_batchnorm
from training.losses import Losses
from training.players import Player
from training.progress import progress
from training.random import Streams
from training.runtime import Diverged, Model, SharedStop, Stopped, StopRequest
from training.schedule import Schedule
from training.selection import Selection, time_to_target
from training.state import TrainState, load_selected_weights, outcome
from training.tasks.base import Batch, Carried, Turn
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
            model = models.build(config["model"], config["data"])
        layout = torch.channels_last if config["channels_last"] else torch.preserve_format
        self.model = convert_sync_batchnorm(model, config["bn"], device).to(device).to(memory_format=layout)
        self.frozen = contract.freeze(self.model, config["freeze"])
        self.task = tasks.build(config)
        nets = enumerate(self.task.players(self.model).items())
        self.players = {name: self.player(name, net, {} if n else config["probe"]) for n, (name, net) in nets}
        self.first, self.optimizers = next(iter(self.players.values())), [p.optimizer for p in self.players.values()]
        contract.switch(self.optimizers, "train")
        self.schedule, self.budget = build(Schedule, config["schedule"]), build(Budget, config["budget"])
        self.data = data.load(config["data"], Place.of_run(config, device))
        self.steps_per_epoch = len(self.order(0))
        self.task.prepare(self.data.train)
        self.mix = mixing.build(config["mix"], config["data"]["num_classes"])
        with self.streams.fork("rehearsal", device=device):
            steps, example = self.budget.left(0, self.steps_per_epoch), self.task.example(config["data"])
            smallest = contract.smallest_piece(list(map(len, self.order(0))), steps, world.size, config)
            contract.rehearse(self.model, mixing.mapped(example, lambda x: x.to(device)), smallest, self.task.width)
        forward = world.wrap(self.model, device, partly=len(self.players) > 1)
        self.forward = torch.compile(forward, dynamic=False) if config["compile_model"] else forward
        self.predict = Model(self.model, self.forward, config["precision"], device)

    def player(self, name: str, net: nn.Module, probe: probes.Options) -> Player:
        """Build the optimizer of a part of the net, and what observes it."""
        parts = groups.parts(self.config["optimizer"])
        optimizer, described = optim.configure(parts, net, compile=self.config["compile_optimizer"])
        contract.check(optimizer, self.task.cross_entropy)
        return Player(name, net, optimizer, described, probes.build(probe, net, optimizer, self.streams.key("probes")))

    def order(self, epoch: int) -> Sequence[Tensor]:
        """Return the positions of each batch of an epoch (the first is 0)."""
        return self.task.order(self.data.train, self.config["batch_size"], self.streams.generator("order", epoch))

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
        self.stop, config = stop, self.config
        metric = metrics.selects(config["task"]["name"])
        selection = Selection(config["selection"], metric, metrics.metric(metric).sign, self.budget.timed)
        clock = Clock(synchronize=partial(runtime.synchronize, self.device))
        self.state = TrainState(self.budget, self.steps_per_epoch, clock, self.task.meter(), selection)
        parts: dict[str, Stateful] = {"model": self.model, "observer": self.first.observer}
        parts |= {f"optimizer{name}": player.optimizer for name, player in self.players.items()}
        self.log, self.losses = loggers.Log(config["logger"], run), Losses(self.model, config["log"]["every_steps"])
        self.checkpoints = Checkpoints(run, self.state, self.model, parts, self.world, self.log_losses)
        if self.checkpoints.resume(self.device):
            run.log(f"resumed at step {self.state.step}")
        self.loss, self.carried = torch.zeros((), device=self.device), list[Carried]()
        shown = self.world.is_main and config["progress"]
        self.show = progress(shown, self.state.total_steps, self.state.step, config["batch_size"])
        self.warnings = Warnings(config["warnings"], shown)
        self.warnings.at_start(config, self.optimizers, self.schedule.unfinished(self.state.horizon))
        self.warnings.check("overlap", overlap, self.data.train, self.data.validation, self.data.test)
        if config["compile_model"]:
            size = config["evaluate"]["batch_size"]
            self.warnings.watch(partial(both_outputs, self.task, self.predict, self.data.test, size))

    def train_epoch(self) -> None:
        """Train from where the epoch is to its end, or to the end of the run."""
        epoch, position = divmod(self.state.step, self.steps_per_epoch)
        order = self.order(epoch)[position:][: self.state.steps_left()]
        shares = [self.world.shard(positions, self.config["accumulation"], self.task.size) for positions in order]
        self.model.train()
        with self.state.clock.running():
            augmentation = self.streams.key("augmentation", epoch)
            batches = self.data.train.batches([share.positions for share in shares], augmentation)
            for batch, share in zip(batches, shares, strict=True):
                with self.state.counted_step():
                    self.train_step(batch, share)
                self.after_step()

    def train_step(self, batch: Batch, share: Share) -> None:
        """Let the players whose turn it is take a step each."""
        batch = self.mix(batch, self.streams.generator("mix", self.state.step, self.world.rank))
        for name in self.task.turns(self.state.step):
            self.take_turn(self.players[name], batch, share)
        self.state.carried = self.carried

    def take_turn(self, player: Player, batch: Batch, share: Share) -> None:
        """Take one step of a player's optimizer, however often it evaluates the loss."""
        step, first = self.state.step, not self.state.step_seconds
        lr = self.schedule.apply(player.optimizer, step, self.state.horizon, self.task.rate(share.positions))
        # To pause the clock is to wait for the device: it is paused only where there is something to look at.
        paused = self.state.clock.paused
        aside = paused if first or player.observer.due(step) else nullcontext
        loss_of = self.closure(player, batch, share)

        def closure() -> Tensor:
            loss = loss_of()
            if loss_of.calls == 1:
                self.loss = loss  # what the step returns may be another's, or nothing
                with aside():
                    player.observer.gradients()
                    if first:
                        self.warnings.check("invariance", not_invariant, optim.suspects, player.net, player.groups)
            return loss

        with aside():
            player.observer.begin(step, step // self.steps_per_epoch)
        compiles = first and (self.config["compile_model"] or self.config["compile_optimizer"])
        with paused() if compiles else nullcontext():
            player.optimizer.step(cast(Callable[[], float], closure))
        if not loss_of.calls:
            raise RuntimeError(f"{type(player.optimizer).__name__}.step never called its closure: nothing is trained")
        self.task.after_turn(player.net, player.name, self.world)
        with aside():
            self.log.rows(player.observer.end(lr))
            if first:
                self.warnings.after_a_step(player.net)

    def closure(self, player: Player, batch: Batch, share: Share) -> "optim.closure[tuple[int, Batch]]":
        """Return a batch's mean loss as a closure; its first call is measured, and its state carried on."""
        numbered, before = [*enumerate(mixing.split(batch, share.pieces))], dict(enumerate(self.state.carried))
        sizes = [self.task.size(positions) for positions in share.positions.tensor_split(share.pieces)]
        weights = [share.weight * size / sum(sizes) for size in sizes]
        fork = partial(self.streams.fork, "dropout" + player.name, self.state.step, self.world.rank, device=self.device)
        self.carried, bound, net = [], self.config["clip_norm"], cast(nn.Module, self.forward)

        def loss_fn(numbered: tuple[int, Batch]) -> Tensor:
            first, (number, piece) = loss_of.calls == 1, numbered
            turn = Turn(player.name, self.state.meter if first and share.weight else None, before.get(number))
            loss = self.task.loss(self.predict, piece, turn)
            if first:
                self.carried.append(turn.carried)
            return loss

        clip = partial(nn.utils.clip_grad_norm_, list(player.net.parameters()), bound) if bound else None
        loss_of = optim.closure(net, loss_fn, player.optimizer, numbered, weights=weights, clip=clip, repeat=fork)
        return loss_of

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
            self.checkpoints.save(required=True)
            raise Stopped
        self.checkpoints.save_when_due(**self.config["checkpoint"], agreed=agreed, device=self.device)

    def log_losses(self) -> None:
        self.log.rows(self.losses.rows(self.world))

    def end_epoch(self) -> None:
        """Let the optimizer end its epoch, on the clock; then evaluate, select and log."""
        state, target = self.state, self.config["target"]
        self.world.require_finite([self.loss, *self.model.parameters()])
        if state.step % self.steps_per_epoch == 0:
            with state.clock.running():
                for optimizer in self.optimizers:
                    getattr(optimizer, "epoch_end", lambda: None)()
        state.count_epoch(self.world.broadcast_object(state.clock.seconds))
        self.world.require_equal(self.model)
        row: dict[str, Any] = {"epoch": state.epoch, "step": state.step, "seconds": state.clock.seconds}
        row |= {"lr": self.first.lr} | state.meter.reduce(self.world).result("train_")
        with contract.evaluated(self.model, self.optimizers):
            if state.over() or state.epoch % self.config["evaluate"]["every_epochs"] == 0:
                row |= self.scores(test=self.config["evaluate"]["test"] == "every")
            state.selection.update(row, self.budget.counts(state.clock.seconds), self.model)
        if target["metric"]:
            state.look_at_target(time_to_target(target, metrics.metric(target["metric"]).sign, row))
        self.log_losses()
        self.log.rows([{"kind": "epoch", **row}, *self.first.observer.epoch_end(state.epoch)])
        self.show.row(row)
        state.next_epoch(self.task.meter())
        self.checkpoints.save_when_due(**self.config["checkpoint"], agreed=True, device=self.device)

    def scores(self, test: bool = True) -> dict[str, float]:
        """Evaluate the current weights on the validation split, if there is one, and on the test split if asked."""
        held_out = {"validation": self.data.validation, "test": self.data.test if test else None}
        with self.streams.fork("evaluation", self.state.step, self.world.rank, device=self.device):
            return tasks.evaluate(self.task, self.predict, held_out, self.config["evaluate"]["batch_size"], self.world)

    def result(self, ending: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the result of a run that is `done` or `diverged`, and its weights: the selected, or the last ones."""
        if ending == "done":
            contract.switch(self.optimizers, "eval")
            load_selected_weights(self.state, self.model, self.scores)
        described = [group for player in self.players.values() for group in player.groups]
        facts = {"groups": described, "frozen": self.frozen, "data_fingerprint": self.data.fingerprint}
        if ending == "diverged":
            self.log_losses()
            facts["diverged"] = self.losses.diverged(self.state.step, self.world)
        numbers = runtime.size(self.model, self.optimizers, self.device)
        return outcome(ending, self.state, self.config["target"]) | numbers | facts, self.model.state_dict()


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
        with cli.one_line(unless=config["traceback"], but=claim.Claimed):
            code = fix_budget(trainer, overrides, facts, stop)
        return code or make(trainer, overrides, facts, stop)
    except claim.Claimed as error:
        print(error)
        return AGAIN
    finally:
        stop.forget()
        world.leave()


def make(trainer: Trainer, overrides: list[str], facts: dict[str, Any], stop: StopRequest) -> int:
    """Train what is built and leave its record; returns the exit code."""
    config, store = trainer.config, trainer.config["paths"]["store"]
    with cli.one_line(unless=config["traceback"], key="paths.store", but=claim.Claimed):
        writer: Writer = Run(store, config, overrides=overrides, facts=facts) if trainer.world.is_main else NullWriter()
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
    other = reference.configuration(compose(words), config, provenance.reference_store(config["paths"]["store"], facts))
    seconds, epoch = world.broadcast_object((provenance.fixed_seconds(config), provenance.epoch_seconds(other)))
    if seconds is None and epoch is None:
        if code := make(Trainer(other, world, trainer.device), words, facts, stop):
            return code
        epoch = world.broadcast_object(provenance.epoch_seconds(other))
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
