"""papers/tuned against hyperparameters.csv, row by row; and the look-up's order, gaps and mistakes."""

from fractions import Fraction

import pytest
import yaml
from PIL import Image

from conf import groups
from conf.compose import compose
from conf.errors import UsageError
from conf.tuned import ROOT, lookup, read
from papers.published import hyperparameters

ROWS = [row for row in hyperparameters() if row["value"]]
OURS = [
    "rde_small",
    "recent",
    "spoken_words",
    "study",
    "study_rates",
    "study_tasks",
    "text_small",
    "wgan",
]  # of no published table
PAPERS = sorted({path.stem for path in ROOT.glob("*.yaml")} - {*OURS})
CONVENTION = "absolute convention"


def looked_up(row):
    optimizer, _, condition = row["optimizer"].partition(" ")
    key, _, value = condition.partition("=")
    given = {f"optimizer.{key}": value} if key else {}
    name, _, index = f"optimizer.{row['name']}".rstrip("]").partition("[")
    found = lookup(row["paper"], row["dataset"], row["model"], optimizer, given=given.get)
    value = found.values[name]
    return (value[int(index)] if index else value), found, name


@pytest.mark.parametrize("paper", PAPERS)
def test_every_printed_hyperparameter_is_what_a_run_gets(paper):
    rows = [row for row in ROWS if row["paper"] == paper]
    assert rows
    for row in rows:
        value, found, name = looked_up(row)
        printed = yaml.safe_load(row["value"])
        if CONVENTION in row["source"] and row["optimizer"] == "adamw":
            printed = 0.1  # 1e-4, not times the learning rate, is 0.1 times a learning rate of 1e-3
        if isinstance(printed, str):
            printed = float(printed)  # YAML 1.1 reads 5e-2 as a word
        six_decimals = "six decimals" in row["source"]
        assert value == (pytest.approx(printed, abs=5e-7) if six_decimals else printed), row
        assert name in found.printed, row
        assert name not in found.notes, row


def test_adamsrts_weight_decays_are_the_grids_own():
    grid = {Fraction(0), *(Fraction(1, 1000 * 2**k) for k in range(1, 8))}
    for entry in read("adamsrt"):
        decay = entry["set"].get("optimizer.weight_decay")
        if decay is not None and entry.get("source") != "code":
            assert Fraction(str(decay)) in grid


def test_a_file_may_add_the_entries_of_others(tmp_path):
    (tmp_path / "b.yaml").write_text("data: [digits]\nentries: [{optimizer: sgd, set: {optimizer.lr: 2}, from: b}]")
    (tmp_path / "a.yaml").write_text(
        f"also: [{tmp_path}/b.yaml]\nentries: [{{optimizer: sgd, set: {{optimizer.lr: 1, seed: 3}}, from: a}}]"
    )
    found = lookup(str(tmp_path / "a.yaml"), "digits", "resnet20", "sgd").values
    assert found == {"optimizer.lr": 2, "seed": 3}
    assert lookup(str(tmp_path / "a.yaml"), "cifar10", "resnet20", "sgd").values["optimizer.lr"] == 1


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    (tmp_path / "old.yaml").write_text(
        "trials: {sgd: 3}\nentries: [{optimizer: sgd, set: {optimizer.lr: 0.7}, from: a}]"
    )
    assert lookup(str(tmp_path / "old.yaml"), "digits", "resnet20", "sgd").values == {"optimizer.lr": 0.7}


def test_what_is_printed_nowhere_has_a_value_and_says_so():
    for row in hyperparameters():
        if not row["value"]:
            found = lookup(row["paper"], row["dataset"], row["model"], row["optimizer"])
            assert found.notes[f"optimizer.{row['name']}"]
            assert found.values[f"optimizer.{row['name']}"] > 0


@pytest.mark.parametrize("paper", [*PAPERS, *OURS])
def test_an_optimizer_that_a_paper_does_not_have_is_not_called_unknown(paper):
    has = {name for entry in read(paper) for name in names(entry)}
    for name in set(groups.options("optimizer")) - has:
        with pytest.raises(UsageError, match=f"^tuned={paper}: no published value for {name}; there are some for "):
            lookup(paper, "cifar10", "resnet18", name)


def names(entry):
    return entry["optimizer"] if isinstance(entry["optimizer"], list) else [entry["optimizer"]]


@pytest.mark.parametrize("paper", [*PAPERS, *OURS])
def test_every_key_exists_in_its_optimizers_yaml(paper):
    for entry in read(paper):
        for name in names(entry):
            known = groups.raw("optimizer", name)
            for key, value in entry["set"].items():
                group, _, keyword = key.partition(".")
                if group == "optimizer":
                    assert keyword.partition(".")[0] in known, (paper, name, key)
                elif keyword:
                    assert any(keyword in groups.raw(group, option) for option in groups.options(group)), (paper, key)
                elif key not in groups.root():
                    assert value in groups.options(group), (paper, name, key)


FILE = """
entries:
  - {optimizer: [sgd, adam], set: {optimizer.lr: 1.0, optimizer.momentum: 0.5}, from: everywhere}
  - {optimizer: sgd, data: cifar10, set: {optimizer.lr: 2.0}, from: data}
  - {optimizer: sgd, model: resnet20, set: {optimizer.lr: 3.0}, from: model}
  - {optimizer: sgd, data: cifar10, model: resnet20, set: {optimizer.lr: 4.0}, from: both}
  - {optimizer: sgd, data: cifar10, model: [a, b], set: {optimizer.lr: 4.5}, from: of several}
  - {optimizer: sgd, data: cifar10, set: {optimizer.dampening: 0.1}, from: data before}
  - {optimizer: sgd, model: vgg16_bn, set: {optimizer.dampening: 0.2}, from: model}
  - {optimizer: sgd, set: {optimizer.dampening: 0.3}, from: all}
  - {optimizer: sgd, source: code, set: {optimizer.lr: 5.0}, from: code}
  - {optimizer: sgd, where: {optimizer.nesterov: true}, set: {optimizer.lr: 6.0}, from: where}
  - {optimizer: adam, data: [svhn, mhist], set: {optimizer.eps: 7.0}, default: a guess}
"""


@pytest.fixture
def tuned(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return str(path)


@pytest.mark.parametrize(
    ("data", "model", "source", "rate", "dampening"),
    [
        ("svhn", "resnet18", "default", 1.0, 0.3),
        ("svhn", "vgg16_bn", "default", 1.0, 0.2),
        ("cifar10", "vgg16_bn", "default", 2.0, 0.1),
        ("svhn", "resnet20", "text", 3.0, 0.3),
        ("cifar10", "resnet20", "default", 4.0, 0.1),
        ("cifar10", "b", "default", 4.5, 0.1),
        ("cifar10", "resnet20", "code", 5.0, 0.1),
    ],
)
def test_the_most_specific_entry_wins_for_each_key(tuned, data, model, source, rate, dampening):
    found = lookup(tuned, data, model, "sgd", source)
    assert found.values == {
        "optimizer.lr": rate,
        "optimizer.momentum": 0.5,
        "optimizer.dampening": dampening,
    }
    assert found.notes == {}
    assert found.printed["optimizer.momentum"] == "everywhere"


def test_an_entry_may_hold_for_some_values_of_other_keys(tuned):
    given = {"optimizer.nesterov": True}
    assert lookup(tuned, "cifar10", "resnet20", "sgd", given=given.get).values["optimizer.lr"] == 6.0


@pytest.mark.parametrize("value", ["1.0e-3", "1e-3", "0.001", "1E-03"])
def test_a_number_in_where_may_be_written_in_any_way(tmp_path, value):
    path = tmp_path / "w.yaml"
    path.write_text(
        "entries:\n  - {optimizer: sgd, set: {optimizer.weight_decay: 5.0e-4}, from: Table 1}\n"
        f"  - {{optimizer: sgd, where: {{optimizer.lr: {value}}}, set: {{optimizer.weight_decay: 0.25}}, from: x}}\n"
    )
    config = compose(["optimizer=sgd", "optimizer.lr=1e-3", f"tuned={path}"])
    assert config["optimizer"]["weight_decay"] == 0.25


def test_defaults_and_gaps_become_notes(tuned):
    assert lookup(tuned, "svhn", "resnet20", "adam").notes == {"optimizer.eps": "a guess"}
    gap = lookup(tuned, "cifar10", "resnet20", "adam")
    assert "optimizer.eps" not in gap.values
    assert "none for adam on cifar10 with resnet20" in gap.notes["optimizer.eps"]


@pytest.mark.parametrize(
    ("name", "optimizer", "message"),
    [
        ("rmsdg", "sgd", r"tuned: no 'rmsdg'; allowed: adamp, .*, recent, rmsgd, sing, .*; nearest: rmsgd"),
        ("nowhere.yaml", "sgd", r"tuned: no 'nowhere.yaml'"),
        ("rmsgd", "rsmgd", r"tuned=rmsgd: optimizer: unknown 'rsmgd'; allowed: .*; nearest: rmsgd"),
    ],
)
def test_what_does_not_exist_is_one_line(name, optimizer, message):
    with pytest.raises(UsageError, match=message) as raised:
        lookup(name, "cifar10", "resnet18", optimizer)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("entries: [", "is not YAML"),
        ("[]", "has no list `entries`"),
        ("entries: [{set: {}}]", "needs an `optimizer`"),
        ("entries: [{optimizer: sgd, set: {}, from: x, modl: y}]", "unknown 'modl'.*nearest: model"),
        ("entries: [{optimizer: sgd, set: {}}]", "needs either `from`"),
        ("entries: [{optimizer: sgd, set: {}, from: x, default: y}]", "needs either `from`"),
        ("entries: [{optimizer: {sgd: 1}, set: {}, from: x}]", "optimizer: .* is neither a word nor a list of words"),
        ("entries: [{optimizer: sgd, data: [[a]], set: {}, from: x}]", "data: .* is neither a word nor a list"),
        ("entries: [{optimizer: sgd, where: a, set: {}, from: x}]", "where: 'a' is not a mapping"),
        ("entries: [{optimizer: sgd, source: cod, set: {}, from: x}]", "source: unknown 'cod'.*nearest: code"),
        ("entries: [{optimizer: sgd, set: {optimizer: {lr: 0.1}}, from: x}]", "optimizer: .* cannot be chosen here"),
        ("entries: [{optimizer: sgd, set: {scale: smoke}, from: x}]", "scale: 'smoke' cannot be chosen here"),
        ("entries: [{optimizer: sgd, set: {tuned: sing}, from: x}]", "tuned: 'sing' cannot be chosen here"),
        ("entries: [{optimizer: sgd, set: {shrink: {epochs: 1}}, from: x}]", "shrink: .* cannot be chosen here"),
        ("entries: [{optimizer: sgd, set: {schedule: cosin}, from: x}]", "schedule: unknown 'cosin'.*nearest: cosine"),
        ("dat: cifar10\nentries: []", "unknown 'dat'.*nearest: data"),
        ("also: 3\nentries: []", "also: 3 is neither a word nor a list"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as raised:
        lookup(str(path), "cifar10", "resnet18", "sgd")
    assert "\n" not in str(raised.value)


def test_a_name_of_the_users_own_is_what_the_file_has(tmp_path):
    for kind in ("oak", "elm"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / kind / "0.png")
    (tmp_path / "own.yaml").write_text(
        "entries:\n- {optimizer: sgd, data: leaves, model: custom, set: {optimizer.lr: 0.7}, from: a search}\n"
    )
    words = ["data=folder", f"data.path={tmp_path / 'images'}", "model=custom", "model.target=torch.nn.Linear"]
    words += ["optimizer=sgd", f"tuned={tmp_path / 'own.yaml'}"]
    assert compose([*words, "data.name=leaves"])["optimizer"]["lr"] == 0.7
    other = compose([*words, "data.name=stones"])
    assert other["optimizer"]["lr"] != 0.7
    assert "prints none for sgd on stones with custom" in other["notes"]["optimizer.lr"]
