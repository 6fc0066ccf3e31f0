import pytest
import yaml

from conf.errors import Mistake
from conf.tuned import lookup
from sweep.__main__ import main
from sweep.tune import trials
from sweep.wanted import wanted

GRIDS = """
grids:
  sgd: {optimizer.lr: [0.05, 0.1, 0.2]}
  adamw: {search: {kind: sobol, n: 3, space: {optimizer.lr: {log: [1.0e-4, 1.0e-2]}}}}
"""


@pytest.fixture
def grids(tmp_path):
    (tmp_path / "grids.yaml").write_text(GRIDS)
    return tmp_path / "grids.yaml"


def ask(grids, text=None, **more):
    if text:
        grids.write_text(text)
    return trials(wanted("digits_demo"), str(grids), 0.1, [0], **{"only": ["sgd", "adamw"]} | more)


def test_every_optimizer_gets_as_many_trials_on_validation_images(grids):
    tried = ask(grids)
    assert len(tried.settings) == 6
    for words, settings in tried.settings.items():
        assert "data.validation=0.1" in words
        assert f"optimizer.lr={settings['optimizer.lr']}" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grids: {sgd: {optimizer.lr: [1, 2]}, adamw: {optimizer.lr: [1]}}", "sgd 2, adamw 1 trials"),
        ("grids: {sgd: {optimizer.lr: [1, 2]}, adma: {optimizer.lr: [1]}}", "unknown 'adamw'.*nearest: adma"),
        ("trials: 3", "no mapping"),
    ],
)
def test_mistakes_are_one_line(grids, text, words):
    with pytest.raises(Mistake, match=words) as raised:
        ask(grids, text)
    assert "\n" not in str(raised.value)


def test_unequal_numbers_need_a_reason(grids):
    text = "grids: {sgd: {optimizer.lr: [1, 2]}, adamw: {optimizer.lr: [1]}}\nunequal: as in the paper"
    assert len(ask(grids, text).settings) == 3


def test_the_winner_is_what_tuned_reads(grids, tmp_path, capsys):
    out, store = tmp_path / "tuned.yaml", tmp_path / "store" / "runs"
    words = ["tune", "digits_demo", "--grids", str(grids), "--out", str(out), "--store", str(store)]
    more = ["--only", "sgd,adamw", "--jobs", "2", "--metric", "test_top1"]
    assert main([*words, *more]) == 0
    content = yaml.safe_load(out.read_text())
    assert content["trials"] == {"sgd": 3, "adamw": 3}
    from record import read_store

    rows = [row for row in read_store(store)[0] if row["optimizer"] == "sgd"]
    best = max(rows, key=lambda row: row["metrics.test_top1"])["config.optimizer.lr"]
    assert lookup(str(out), "digits", "resnet20", "sgd").values == {"optimizer.lr": best}
    assert main(["plan", "digits_demo", f"tuned={out}", "optimizer=sgd", "--store", str(store), "--list"]) == 0
