"""The optimizers in other people's loops: Lightning, accelerate, transformers, timm's schedules; others' states."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, SequentialSampler, TensorDataset

from optim import AdaBelief, AdamP
from tests.optim.table import NAMES, ROWS
from tests.optim.test_saved import BETAS, NUMBERS, gradient, three_steps

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore")]  # theirs are not ours to mend


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def data() -> DataLoader:
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(16, 1, 8, 8, generator=draw), torch.randint(3, (16,), generator=draw)
    return DataLoader(TensorDataset(images, labels), batch_size=4)


def build(name: str, net: nn.Module):
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim < 2]
    return ROWS[name].make([{"params": matrices, **ROWS[name].group}, {"params": others}], **ROWS[name].keywords)


def by_hand(name: str, epochs: int = 2) -> list[Tensor]:
    """The weights after the plainest loop."""
    net = network()
    optimizer = build(name, net)
    for _ in range(epochs):
        for images, labels in data():

            def closure(images=images, labels=labels) -> Tensor:
                with torch.enable_grad():
                    loss = cross_entropy(net(images), labels)
                    optimizer.zero_grad()
                    loss.backward()
                return loss.detach()

            optimizer.step(closure)
    return [p.detach() for p in net.parameters()]


@pytest.fixture(scope="module")
def lightning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("lightning")


def lightning_fit(lightning, name: str, accumulate: int = 1) -> list[Tensor]:
    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return build(name, self.net)

    module = Module()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", accumulate_grad_batches=accumulate, **quiet)
    trainer.fit(module, data())
    return [p.detach() for p in module.net.parameters()]


@pytest.mark.parametrize("name", NAMES)
def test_lightning_takes_the_steps_of_a_plain_loop(lightning, name):
    for ours, theirs in zip(lightning_fit(lightning, name), by_hand(name), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sam", "asam", "sls"])
def test_lightnings_accumulation_is_refused_where_batches_are_looked_at_twice(lightning, name):
    with pytest.raises(RuntimeError, match=r"the closure adds to gradients from before the step"):
        lightning_fit(lightning, name, accumulate=2)


@pytest.mark.parametrize("name", NAMES)
def test_accelerate_takes_the_steps_of_a_plain_loop(name):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    net = network()
    net, optimizer, loader = accelerator.prepare(net, build(name, net), data())
    for _ in range(2):
        for images, labels in loader:

            def closure(images=images, labels=labels) -> Tensor:
                with torch.enable_grad():
                    loss = cross_entropy(net(images), labels)
                    optimizer.zero_grad()
                    accelerator.backward(loss)
                return loss.detach()

            optimizer.step(closure)
    for ours, theirs in zip(net.parameters(), by_hand(name), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_transformers_trainer_takes_the_steps_of_a_plain_loop(name, tmp_path):
    """Its loop gives no closure: those that need one say so in a line."""
    transformers = pytest.importorskip("transformers")

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            return {"loss": cross_entropy(self.net(images), labels)}

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: object) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    model, quiet = WithLoss(), {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True}
    told = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant",
    }
    rows = [{"images": images, "labels": label} for images, label in data().dataset]
    arguments = transformers.TrainingArguments(str(tmp_path), **quiet, **told)
    optimizer = build(name, model.net)
    trainer = InOrder(model, arguments, train_dataset=rows, optimizers=(optimizer, None))
    if optimizer.evaluation.needs_closure:
        with pytest.raises(ValueError, match=r"^\w+.step needs a closure: [^\n]*$"):
            trainer.train()
        return
    trainer.train()
    for ours, theirs in zip(model.net.parameters(), by_hand(name), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_timms_schedules_scale_every_optimizer(name):
    from timm.scheduler import CosineLRScheduler

    net = network()
    optimizer = build(name, net)
    rate = float(optimizer.param_groups[0]["lr"])
    schedule = CosineLRScheduler(optimizer, t_initial=4, warmup_t=2, warmup_lr_init=rate / 10)
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(rate / 10)
    for epoch in range(3):
        for images, labels in data():

            def closure(images=images, labels=labels) -> Tensor:
                optimizer.zero_grad()
                loss = cross_entropy(net(images), labels)
                if torch.is_grad_enabled():
                    loss.backward()
                return loss.detach()

            assert torch.isfinite(torch.as_tensor(optimizer.step(closure)))
        schedule.step(epoch + 1)
    assert float(optimizer.param_groups[0]["lr"]) < rate


THEIRS = {
    "adamp": ("AdamP", lambda cls, ps: cls(ps, delta=0.2, wd_ratio=0.3, nesterov=True, **BETAS, **NUMBERS), AdamP),
    "adabelief_pytorch": (
        "AdaBelief",
        lambda cls, ps: cls(ps, rectify=False, weight_decouple=True, print_change_log=False, **BETAS, **NUMBERS),
        AdaBelief,
    ),
}


@pytest.mark.parametrize("package", THEIRS)
def test_a_state_of_the_authors_package_goes_on_as_it_would_have_there(package):
    name, make, ours = THEIRS[package]
    cls = getattr(pytest.importorskip(package), name)
    theirs, params = three_steps(lambda ps: make(cls, ps))
    copies = [nn.Parameter(p.detach().clone()) for p in params]
    other = ours(copies)
    other.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for seed in range(3, 7):
        for optimizer, tensors in ((theirs, params), (other, copies)):
            gradient(tensors, seed)
            optimizer.step()
    for p, q in zip(copies, params, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11)
