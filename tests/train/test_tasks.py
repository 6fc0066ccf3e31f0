"""The loop and a task that uses all of the interface: `tests/training/planted.py`."""

import pytest
import torch

import train
from record.supervise import NullWriter
from tests.train.conftest import StopAfter
from tests.train.test_resume import same
from training.distribution import World
from training.runtime import Stopped, pick_device

WORDS = ("batch_size=400", "budget.epochs=2", "schedule=constant", "optimizer.lr=0.01")


@pytest.fixture
def planted(settings):
    def made(*words: str) -> dict:
        config = settings(*WORDS, *words)
        return config | {"task": config["task"] | {"target": "tests.training.planted.Planted"}}

    return made


def stopped(config: dict, steps: int) -> train.Trainer:
    trainer = train.Trainer(config, World(), pick_device("cpu"))
    with pytest.raises(Stopped):
        trainer.fit(NullWriter(), StopAfter(steps))
    return trainer


@pytest.mark.parametrize("words", [("optimizer=sam", "accumulation=2"), ("optimizer=adamw", "clip_norm=1.0")])
def test_two_players_and_a_carried_state_resume_exactly(make, planted, monkeypatch, words) -> None:
    monkeypatch.setattr("tests.train.conftest.compose", lambda given: planted_config(planted, given))
    same(make(*WORDS, *words, stops=(1, 2, 1)), make(*WORDS, *words))


def planted_config(planted, given: list[str]) -> dict:
    from conf.compose import compose

    config = compose(given)
    return config | {"task": config["task"] | {"target": "tests.training.planted.Planted"}}


def test_each_player_steps_in_its_turns_at_the_batchs_rate(planted) -> None:
    trainer = stopped(planted("optimizer=adamw"), 2)  # stops after the third step
    steps = {name: {int(s["step"]) for s in p.optimizer.state.values()} for name, p in trainer.players.items()}
    assert steps == {"head": {3}, "body": {1}}
    assert [p.optimizer.param_groups[0]["lr"] for p in trainer.players.values()] == [0.01, 0.01]
    assert all(p.abs().max() <= 0.5 for p in trainer.model.parameters())


def test_a_piece_is_sized_once_for_each_player(planted, monkeypatch) -> None:
    """By its positions, however often SAM computes its loss; the sizes of whole batches come before."""
    seen: list[int] = []
    monkeypatch.setattr(
        "training.tasks.base.Task.size", lambda self, positions: seen.append(len(positions)) or len(positions)
    )
    stopped(planted("optimizer=sam", "accumulation=2"), 1)  # two steps: the head, then head and body
    assert seen[-6:] == [200] * 6
    assert seen.count(200) == 6


def test_what_is_carried_is_that_of_the_first_evaluation_and_in_the_checkpoint(planted) -> None:
    trainer = stopped(planted("optimizer=sam", "accumulation=2"), 1)
    (saved,) = trainer.checkpoints.content()["train"]["carried"]
    assert [piece["mean"].shape for piece in saved] == [(10,), (10,)]
    trainer.state.next_epoch(trainer.task.meter())
    assert trainer.state.carried == []


def test_probes_observe_the_first_player(planted) -> None:
    trainer = train.Trainer(planted("probe=norms"), World(), pick_device("cpu"))
    assert [bool(player.observer._probes) for player in trainer.players.values()] == [True, False]
    assert torch.is_tensor(trainer.first.net.weight)


TEXT = (
    *("data=text_small", "data.synthetic=40", "data.num_classes=60", "model=lstm_small", "model.embedding=8"),
    *("model.layers=2", "model.hidden=8", "batch_size=4", "task.bptt=10", "task.eval_bptt=10", "budget.epochs=2"),
)


PAIRS = (
    *("data=translation_small", "data.synthetic=40", "data.num_classes=60", "model=transformer_small"),
    *("model.width=16", "model.layers=1", "batch_size=60", "budget.epochs=2", "label_smoothing=0.1"),
    *("freeze=norm_affine", "accumulation=2"),
)


def test_a_translation_resumes_exactly(make) -> None:
    same(make(*PAIRS, "optimizer=sing", stops=(2, 4, 1)), make(*PAIRS, "optimizer=sing"))


ASKED = ("data=spans_small", "data.synthetic=40", "model=span_encoder_small", "model.width=16", "model.layers=1")
CHOSEN = ("data=choices_small", "data.synthetic=40", "model=choice_encoder_small", "model.width=16", "model.layers=1")


@pytest.mark.parametrize("words", [(*ASKED, "freeze=norm_affine"), (*CHOSEN, "accumulation=2")])
def test_reading_resumes_exactly(make, words) -> None:
    words = (*words, "optimizer=sing", "batch_size=12", "budget.epochs=2", "clip_norm=1.0", "data.validation=0.2")
    whole = make(*words, "selection=best_validation")
    same(make(*words, "selection=best_validation", stops=(1, 3, 1)), whole)
    assert 0 <= whole["metrics"].get("test_f1", whole["metrics"].get("test_top1")) <= 100


PAINTED = ("data=biased_mnist", "data.synthetic=60", "model=conv_pair_small", "model.width=2", "batch_size=20")


@pytest.mark.parametrize("words", [("optimizer=adamp",), ("optimizer=sam", "accumulation=2")])
def test_debiasing_resumes_exactly(make, words) -> None:
    words = (*PAINTED, "budget.epochs=3", "optimizer.lr=0.01", *words)
    whole = make(*words)
    same(make(*words, stops=(1, 3, 2)), whole)
    assert 0 <= whole["metrics"]["test_unbiased_top1"] <= 100


SOUGHT = (
    *("data=fashion_mnist_retrieval", "data.synthetic=60", "model=embedding_small", "model.embedding=8"),
    *("batch_size=20", "budget.epochs=3", "task.held_epochs=1", "optimizer.lr=0.01"),
)


@pytest.mark.parametrize("words", [("optimizer=adamp",), ("optimizer=sam", "task.loss=triplet", "model.proxies=false")])
def test_retrieval_resumes_exactly(make, words) -> None:
    whole = make(*SOUGHT, *words)
    same(make(*SOUGHT, *words, stops=(1, 3, 2)), whole)
    assert 0 <= whole["metrics"]["test_recall_at_1"] <= 100


BOXED = (
    *("data=rde_boxes", "data.train=60", "data.validation=8", "data.test=12", "model=centernet_small"),
    *("batch_size=20", "budget.epochs=3", "optimizer.lr=0.003"),
)


@pytest.mark.parametrize("words", [("optimizer=adamp",), ("optimizer=sam", "accumulation=2", "clip_norm=1.0")])
def test_detection_resumes_exactly(make, words) -> None:
    whole = make(*BOXED, *words)
    same(make(*BOXED, *words, stops=(1, 3, 2)), whole)
    assert 0 <= whole["metrics"]["test_ap"] <= whole["metrics"]["test_ap50"] <= 100


MADE = (
    *(
        "data=fashion_mnist",
        "data.synthetic=60",
        "task=generation",
        "model=dcgan_small",
        "model.side=8",
        "model.width=4",
    ),
    *("batch_size=20", "budget.epochs=3", "task.critic_steps=2", "optimizer.lr=0.01"),
)


@pytest.mark.parametrize("words", [("optimizer=rmsgd", "optimizer.beta=0.9"), ("optimizer=sam", "accumulation=2")])
def test_a_generator_and_its_critic_resume_exactly(make, words) -> None:
    whole = make(*MADE, *words)
    same(make(*MADE, *words, stops=(1, 3, 2)), whole)
    assert whole["metrics"]["test_frechet"] > 0


HEARD = ("model=harmonic_small", "model.width=2", "budget.epochs=3", "optimizer.lr=0.01")
SPOKEN = (
    "data=spoken_words",
    "data.synthetic=24",
    "batch_size=8",
    "optimizer=adam_then_sgd",
    "optimizer.adam_epochs=2",
)
EVENTS = ("data=dcase2017", "data.synthetic=24", "data.samples=8000", "data.chunks=2")


@pytest.mark.parametrize("words", [SPOKEN, (*EVENTS, "batch_size=8", "optimizer=sam", "accumulation=2")])
def test_sounds_resume_exactly(make, words) -> None:
    whole = make(*HEARD, *words)
    same(make(*HEARD, *words, stops=(1, 2, 2)), whole)
    assert 0 <= whole["metrics"]["test_top1" if words is SPOKEN else "test_f1"] <= 100


ATTACKED = ("task=adversarial", "model.layers=8", "task.train.steps=2", "task.test.steps=2", *WORDS)


@pytest.mark.parametrize("words", [("optimizer=sam", "accumulation=2"), ("optimizer=adamp", "task.train.norm=l2")])
def test_adversarial_training_resumes_exactly(make, words) -> None:
    whole = make(*ATTACKED, *words)
    same(make(*ATTACKED, *words, stops=(1, 2, 1)), whole)
    assert whole["metrics"]["test_attacked_loss"] > whole["metrics"]["test_loss"]


@pytest.mark.parametrize("words", [("optimizer=sam", "accumulation=2"), ("optimizer=rmsgd", "clip_norm=0.25")])
def test_a_language_model_resumes_exactly_with_its_state(make, words) -> None:
    """Stopped within an epoch, where the state between windows is in the checkpoint."""
    whole = make(*TEXT, *words, "selection=best_validation")
    same(make(*TEXT, *words, "selection=best_validation", stops=(3, 5, 2)), whole)
    assert whole["steps"] > 8
    assert whole["metrics"]["test_perplexity"] < 60
