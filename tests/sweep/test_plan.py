import re

import pytest

from conf.compose import compose
from conf.errors import UsageError
from conf.grammar import word
from record.identity import run_id, semantic
from sweep import plan as planning
from sweep import show
from sweep.plan import plan, unlike
from sweep.wanted import Wanted, wanted


def asked(*lines, distinct=True):
    return Wanted("test", tuple(tuple(line.split()) for line in lines), distinct)


LINES = (
    "optimizer=sgd seed=3",
    "optimizer=sgd optimizer.lr=1e-2 optimizer.momentum=0 seed=3",
    "optimizer=adamw optimizer.lr=1 optimizer.betas=[0.8,0.99] model=resnet34 seed=0",
    "optimizer=sgd model=resnet20 budget.epochs=2 seed=7",
    "seed=11 optimizer.lr=.5",
)


def test_numbers_on_copies_give_the_ids_that_composing_gives():
    runs = plan(asked(*LINES))
    assert [run.id for run in runs] == [run_id(semantic(compose(line.split()))) for line in LINES]
    assert [run.seed for run in runs] == [3, 3, 0, 7, 11]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("optimizer=sgdd",), "nearest: sgd"),
        (("optimizer=sgd optimizer.lr=-1 seed=0",), "optimizer.lr: -1 is out of range"),
        (("optimizer=sgd optimizer.lrr=1 seed=0",), "nearest: lr"),
        (("optimizer=sgd seed=-1",), "seed"),
        (("optimizer=sgd modle=resnet18",), "nearest: mode"),
        (("optimizer=sgd optimizer.lr=0.001", "optimizer=sgd optimizer.lr=1e-3"), "same run twice"),
    ],
)
def test_mistakes_are_one_line(lines, words):
    with pytest.raises(UsageError, match=words) as raised:
        plan(asked(*lines))
    assert "\n" not in str(raised.value)


NUMBERS = ("7", "+7", "007", "7e0", "1_0", "-1", "٣", ".5", "5.", "inf")


@pytest.mark.parametrize("number", NUMBERS)
def test_plan_accepts_the_numbers_that_train_accepts(number):
    for key in ("seed", "optimizer.lr") if number != "7" else ("optimizer.version", "optimizer.nesterov", "batch_size"):
        words = ["optimizer=sgd", f"{key}={number}"]
        try:
            wanted = run_id(semantic(compose(words)))
        except UsageError as error:
            with pytest.raises(UsageError, match=re.escape(str(error))):
                plan(Wanted("test", (tuple(words),), True))
        else:
            assert [run.id for run in plan(Wanted("test", (tuple(words),), True))] == [wanted]


def ids(*words):
    return [run.id for run in plan(Wanted("test", (words,), True))]


def test_a_number_that_something_else_hangs_on_is_composed(tmp_path):
    (tmp_path / "w.yaml").write_text(
        "entries: [{optimizer: sgd, where: {optimizer.lr: 1e-3}, set: {optimizer.weight_decay: 0.25}, from: x}]"
    )
    for words in (
        ("optimizer=sgd", "optimizer.lr=1e-3", f"tuned={tmp_path / 'w.yaml'}"),
        ("optimizer=sgd", "optimizer.lr=0.01", "optimizer.momentum=${optimizer.lr}", "seed=3"),
        ("optimizer=sgd", "optimizer.lr=0.01", "++optimizer.lr=0.02"),
    ):
        assert ids(*words) == [run_id(semantic(compose(list(words))))]


def test_what_the_environment_says_is_read_anew(monkeypatch):
    words, found = ("optimizer=sgd", word("optimizer.lr", "${oc.decode:${oc.env:RATE}}")), []
    for rate in ("0.01", "0.02", "0.01"):
        monkeypatch.setenv("RATE", rate)
        found += ids(*words)
    assert found[0] == found[2] != found[1]


def test_cells_of_a_table_may_share_a_run():
    lines = ("optimizer=sgd optimizer.lr=0.001", "optimizer=sgd optimizer.lr=1e-3")
    assert len(plan(asked(*lines, distinct=False))) == 1


def test_wallclock_budgets_of_optimizers_share_a_reference():
    common = "model=resnet20 budget=wallclock_of budget.reference=sgd budget.epochs=3"
    runs = plan(
        asked(*(f"optimizer={name} {common} seed={seed}" for name in ("sgd", "adamw") for seed in (0, 1)), "seed=0")
    )
    sticks = [run.reference_id for run in runs]
    assert len(set(sticks[:4])) == 1  # a seed has no epochs of its own length
    assert sticks[4] is None


@pytest.mark.parametrize("name", ["sing_s2", "rde_small", "rde_small_lr", "sing_s1", "sing_s3", "digits_demo"])
def test_sing_stands_beside_the_base_that_it_has(name):
    assert unlike(plan(wanted(name))) == []


def test_a_sing_beside_another_base_is_flagged():
    lines = (
        "optimizer=sgd optimizer.momentum=0",
        "optimizer=sing_sgd",
        "optimizer=adamw",
        "optimizer=sing optimizer.betas=[0.8,0.999]",
    )
    flags = unlike(plan(asked(*(f"{line} model=resnet20" for line in lines))))
    assert flags == [
        "not one base: sing and adamw on digits resnet20: betas [0.8, 0.999] and [0.9, 0.999]",
        "not one base: sing_sgd and sgd on digits resnet20: momentum 0.9 and 0",
    ]
    apart = asked("optimizer=sgd model=resnet20", "optimizer=sing_sgd model=resnet18")
    one_of_two = asked(*lines[:2], "optimizer=sgd")
    assert unlike(plan(apart)) == unlike(plan(one_of_two)) == []
    shown = show.plan_lines("x", plan(asked(*lines)), {}, "cost: none")
    assert [line for line in shown if line.startswith("not one base: ")]


def test_a_thousand_runs_share_their_compositions(monkeypatch):
    calls = []
    monkeypatch.setattr(planning, "compose", lambda words: calls.append(words) or compose(words))
    lines = [
        f"optimizer={name} optimizer.lr={lr} seed={s}" for name in ("sgd", "adamw") for lr in (1, 2) for s in range(250)
    ]
    assert len(plan(asked(*lines))) == 1000
    assert len(calls) == 4  # the seeds are set on copies


def test_a_task_of_the_study_has_the_same_seeds_in_every_table():
    """A paper's three or five would leave runs of the study aside, or ask for more than it has."""
    seeds = {(run.names[:2], run.seed) for run in plan(wanted("study"))}
    for name in ("adamp_2", "adamp_wd", "rmsgd_1a"):
        mine = {(run.names[:2], run.seed) for run in plan(wanted(name, "cpu"))}
        assert mine == {(task, seed) for task, seed in seeds if task in {task for task, _ in mine}}
    assert {run.seed for run in plan(wanted("adamp_2"))} == {0, 1, 2}
    elsewhere = {run.seed for run in plan(wanted("adamsrt_2", "cpu")) if run.names[:2] == ("fashion_mnist", "vgg16_bn")}
    assert elsewhere == {0, 1, 2}  # no task of the study


@pytest.mark.parametrize(
    ("one", "other"), [("rmsgd_1a", "adamsrt_2"), ("adamp_2", "rmsgd_7"), ("sing_s1", "rde_small")]
)
def test_tables_share_runs_at_cpu_scale(one, other):
    """Where two tables have an optimizer in common, it is one run: one protocol, one set of tuned values."""

    def ids(name):
        return {(*r.names, r.config["optimizer"].get("denominator"), r.seed): r.id for r in plan(wanted(name, "cpu"))}

    first, second = ids(one), ids(other)
    shared = first.keys() & second.keys()
    assert len({optimizer for _, _, optimizer, *_ in shared}) > 1
    assert all(first[key] == second[key] for key in shared)
