"""Tasks against scikit-learn and the formulas; meters against one pass over everything."""

import math
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import hamming_loss, roc_auc_score, top_k_accuracy_score
from torch.nn import functional as F

import optim
from conf import groups
from conf.metrics import measured, of_task, selects
from training import contract
from training.distribution import World
from training.runtime import Diverged
from training.tasks.classification import Binary, Multiclass, auc
from training.tasks.generation import Generation
from training.tasks.multilabel import Multilabel, inverse_frequency
from training.tasks.sounds import Tagging

N = 203
SUPERVISED = ("multiclass", "binary", "multilabel", "depth")
FAMILIES = {task: resolve_name(groups.raw("task", task)["target"]) for task in SUPERVISED}


def draw(task):
    generator = torch.Generator().manual_seed(7)
    if task == "depth":
        number = torch.randint(2, (N, 4, 4), generator=generator)
        return torch.rand(N, 1, 4, 4, generator=generator), torch.stack((number, number / 2), 1)
    classes = {"multiclass": 10, "binary": 2, "multilabel": 6}[task]
    outputs = torch.randn(N, classes, generator=generator)
    outputs = (outputs * 4).round() / 4  # ties, as half precision makes them
    if task == "multilabel":
        return outputs, (torch.rand(N, classes, generator=generator) < 0.3).to(torch.uint8)
    return outputs, torch.randint(classes, (N,), generator=generator)


def metered(objective, outputs, targets, sizes):
    meter = objective.meter()
    for output, target in zip(outputs.split(sizes), targets.split(sizes), strict=True):
        objective.count(output, target, meter)
    return meter


@pytest.mark.parametrize("task", FAMILIES)
def test_a_task_measures_what_is_known_of_it_before_torch(task):
    outputs, targets = draw(task)
    objective = FAMILIES[task](num_classes=outputs.shape[1])
    assert sorted(metered(objective, outputs, targets, [N]).result()) == sorted(measured(task, outputs.shape[1]))


@pytest.mark.parametrize("task", groups.TASKS)
def test_a_task_selects_by_what_it_measures(task):
    assert selects(task) in of_task(task)
    for other in groups.TASKS:  # a metric is named without its task in tables
        both = of_task(task).keys() & of_task(other).keys()
        assert all(of_task(task)[name].sign == of_task(other)[name].sign for name in both)


@pytest.mark.parametrize("task", FAMILIES)
def test_a_meter_weights_by_samples_whatever_the_batches(task):
    outputs, targets = draw(task)
    objective = FAMILIES[task](num_classes=outputs.shape[1])
    whole = metered(objective, outputs, targets, [N]).result()
    ragged = metered(objective, outputs, targets, [100, 100, 3]).result()
    assert ragged == pytest.approx(whole, rel=1e-6)
    assert whole["loss"] == pytest.approx(objective.criterion(outputs, targets).item(), rel=1e-5)


@pytest.mark.parametrize("task", FAMILIES)
def test_the_sums_and_scores_of_two_ranks_add_up(task):
    outputs, targets = draw(task)
    objective = FAMILIES[task](num_classes=outputs.shape[1])
    one, two = (
        metered(objective, *part, [len(part[0])])
        for part in ((outputs[:80], targets[:80]), (outputs[80:], targets[80:]))
    )

    class Three(World):
        """The second process has counted nothing, as with fewer samples than processes."""

        def gather_objects(self, rows):
            return [*rows, objective.meter().state_dict(), two.state_dict()]

    whole = metered(objective, outputs, targets, [N]).result()
    assert one.reduce(Three(rank=0, size=3)).result() == pytest.approx(whole, rel=1e-6)


def test_scores_that_are_not_finite_are_no_metric_but_an_end():
    """scikit-learn and torch's eigenvalues would raise what is a failure, and the nearest of NaNs is an image."""
    broken = torch.full((4, 3), torch.nan)
    targets = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0]]).float()
    for task in (Tagging(3, 0.1), Generation(), Multilabel(3)):
        meter = task.meter()
        meter.update({"images": torch.ones(4)}, (broken, targets))
        with pytest.raises(Diverged):
            meter.result()


def test_multiclass_metrics_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(3)
    outputs, targets = torch.randn(N, 10, generator=generator), torch.randint(10, (N,), generator=generator)
    result = metered(Multiclass(10), outputs, targets, [N]).result()
    for k in (1, 5):
        expected = 100 * top_k_accuracy_score(targets, outputs, k=k, labels=range(10))
        assert result[f"top{k}"] == pytest.approx(expected)


def test_equal_outputs_are_no_hits():
    outputs, targets = torch.zeros(N, 10), torch.arange(N) % 10
    assert metered(Multiclass(10), outputs, targets, [N]).result()["top1"] == pytest.approx(10, abs=1)


def test_smoothing_changes_the_training_loss_alone():
    outputs, targets = draw("multiclass")
    smooth = Multiclass(10, label_smoothing=0.1)
    logs = F.log_softmax(outputs, 1)
    plain = -logs.gather(1, targets[:, None]).mean()
    expected = 0.9 * plain - 0.1 * logs.mean()
    assert smooth.criterion(outputs, targets).item() == pytest.approx(expected.item(), rel=1e-5)
    assert metered(smooth, outputs, targets, [N]).result()["loss"] == pytest.approx(plain.item(), rel=1e-5)


def test_mixed_targets_weigh_both_labels():
    outputs, targets = draw("multiclass")
    other = targets.roll(1)
    mixed = 0.7 * F.one_hot(targets, 10) + 0.3 * F.one_hot(other, 10)
    objective = Multiclass(10)
    expected = 0.7 * objective.criterion(outputs, targets) + 0.3 * objective.criterion(outputs, other)
    assert objective.criterion(outputs, mixed).item() == pytest.approx(expected.item(), rel=1e-5)
    plain = metered(objective, outputs, targets, [N]).result()["top1"]
    assert metered(objective, outputs, mixed, [N]).result()["top1"] == plain


def test_binary_areas_are_those_of_scikit_learn():
    outputs, targets = draw("binary")
    result = metered(Binary(2), outputs, targets, [100, 103]).result()
    probabilities = outputs.double().softmax(1)[:, 1]
    assert result["auc"] == pytest.approx(100 * roc_auc_score(targets, probabilities), rel=1e-9)
    assert result["auc_logit1"] == pytest.approx(100 * roc_auc_score(targets, outputs[:, 1]), rel=1e-9)
    assert result["auc"] != pytest.approx(result["auc_logit1"], abs=0.1)


def test_multilabel_metrics_are_those_of_scikit_learn():
    outputs, targets = draw("multilabel")
    result = metered(Multilabel(6), outputs, targets, [100, 103]).result()
    assert result["label_accuracy"] == pytest.approx(100 * (1 - hamming_loss(targets, outputs > 0)))
    areas = 100 * roc_auc_score(targets, outputs, average=None)
    assert [result[f"auc_{c}"] for c in range(6)] == pytest.approx(list(areas), rel=1e-9)
    assert result["auc"] == pytest.approx(areas.mean(), rel=1e-9)


def test_a_class_without_both_kinds_has_no_area():
    outputs, targets = draw("multilabel")
    targets[:, 2] = 0
    result = metered(Multilabel(6), outputs, targets, [N]).result()
    assert "auc_2" not in result
    rest = [result[f"auc_{c}"] for c in (0, 1, 3, 4, 5)]
    assert result["auc"] == pytest.approx(sum(rest) / 5)
    assert auc(outputs[:, :1], torch.ones(N, 1)).isnan().all()


def test_class_weights_multiply_their_class():
    outputs, targets = draw("multilabel")
    weights = inverse_frequency(targets)
    assert weights.tolist() == pytest.approx([N / targets[:, c].sum().item() for c in range(6)])
    cells = F.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="none")
    weighted = Multilabel(6, class_weights=True)
    weighted.prepare(SimpleNamespace(targets=targets))
    assert weighted.criterion(outputs, targets).item() == pytest.approx((cells * weights).mean().item(), rel=1e-5)
    plain = metered(weighted, outputs, targets, [N]).result()["loss"]
    assert plain == pytest.approx(cells.mean().item(), rel=1e-5)


def test_a_loss_that_is_not_finite_is_reported():
    meter = Multiclass(10).meter()
    Multiclass(10).count(torch.full((4, 10), math.nan), torch.zeros(4, dtype=torch.int64), meter)
    assert math.isnan(meter.result()["loss"])
    with pytest.raises(ValueError, match="first update"):
        Multiclass(10).meter().result()


@pytest.mark.parametrize("task", FAMILIES)
def test_sophia_is_refused_before_training_where_the_loss_is_no_cross_entropy(task, monkeypatch):
    outputs, targets = draw(task)
    objective, called = FAMILIES[task](num_classes=outputs.shape[1]), []
    plain = F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda *args, **kw: called.append(1) or plain(*args, **kw))
    objective.criterion(outputs, targets)
    assert objective.cross_entropy is bool(called)
    sophia = optim.Sophia([torch.nn.Parameter(torch.ones(2))])
    if objective.cross_entropy:
        contract.check(sophia, objective.cross_entropy)
    else:
        with pytest.raises(ValueError, match=r"^optimizer: Sophia needs a task [^\n]* estimator=hutchinson$"):
            contract.check(sophia, objective.cross_entropy)
        contract.check(optim.Sophia([torch.nn.Parameter(torch.ones(2))], estimator="hutchinson"), False)
