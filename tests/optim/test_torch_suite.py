"""What torch asks of its own optimizers, asked of ours: entries for the table and the machinery that its wheel ships.

The properties are those of torch's test_optim.py, by its names. The code is ours: the wheel holds the table alone.
"""

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import lr_scheduler

from tests.optim.table import ROWS, Row

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore:.*no param group with weights")]
pytest.importorskip("expecttest", reason="torch's test machinery needs it: the extra `clients`")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        from torch.testing._internal import common_optimizers as torchs
    except ImportError as error:  # private: another version may have it elsewhere
        pytest.skip(f"this torch has no common_optimizers: {error}", allow_module_level=True)

PUT_ON_A_SPHERE = {"SGDG", "AdamG", "AdamGRepo", "AdamGStar"}
NEEDS_CLOSURE = {"SAM", "SLS", "AdaHessian", "Sophia"}
BACKPROPAGATE = {"AdaHessian", "Sophia"}  # their closure is to call loss.backward()
WITHOUT_BACKWARD = {
    "test_step_is_noop_when_params_have_no_grad",
    "test_step_is_noop_for_zero_grads",
    "test_mixed_dtypes",
}


def entries() -> list[torchs.OptimizerInfo]:
    """One entry a class, with an input for each row of our table."""
    rows: dict[type, list[tuple[str, Row]]] = {}
    for name, row in ROWS.items():
        rows.setdefault(row.make, []).append((name, row))
    return [entry(make, named) for make, named in rows.items()]


def entry(make: type, named: list[tuple[str, Row]]) -> torchs.OptimizerInfo:
    wrong = {key: values[0] for _, row in named for key, values in row.errors.items() if key != "invariance"}

    def inputs(device: str, dtype: torch.dtype | None = None) -> list[torchs.OptimizerInput]:
        return [torchs.OptimizerInput(None, {**row.keywords, **row.group}, name) for name, row in named]

    def errors(device: str, dtype: torch.dtype) -> list[torchs.ErrorOptimizerInput]:
        keywords = dict(named[0][1].keywords)
        given = [
            torchs.OptimizerInput([Parameter(torch.ones(2))], {**keywords, key: v}, key) for key, v in wrong.items()
        ]
        return [torchs.ErrorOptimizerInput(x, error_type=ValueError, error_regex=f"^{x.desc}=") for x in given]

    return torchs.OptimizerInfo(
        make,
        optim_inputs_func=inputs,
        optim_error_inputs_func=errors,
        supported_impls=("foreach",),
        not_og_supported_flags=("foreach", "maximize"),
        supports_complex=False,
        step_requires_closure=make.__name__ in NEEDS_CLOSURE,
    )


DB = entries()
CASES = [(info, given) for info in DB for given in info.optim_inputs_func("cpu")]


@pytest.fixture(params=CASES, ids=[f"{info.name}-{given.desc}" for info, given in CASES])
def case(request):
    if request.param[0].name in BACKPROPAGATE and request.node.originalname in WITHOUT_BACKWARD:
        pytest.skip("needs a closure that calls loss.backward()")
    return request.param


def build(case, params: list[Parameter] | list[dict], **more):
    info, given = case
    keywords = {key: value for key, value in given.kwargs.items() if key != "invariance"}
    groups = params if isinstance(params[0], dict) else [{"params": params}]
    said = {key: given.kwargs[key] for key in ("invariance",) if key in given.kwargs}
    return info.optim_cls([{**group, **said} for group in groups], **{**keywords, **more})


def problem(dtype: torch.dtype = torch.float32):
    """torch's: |W x + b|^2 with fixed draws."""
    torch.manual_seed(1)
    weight, bias = Parameter(torch.randn(10, 5, dtype=dtype)), Parameter(torch.randn(10, dtype=dtype))
    x = torch.randn(5, dtype=dtype)
    return weight, bias, x


def closure_of(optimizer, weight: Tensor, bias: Tensor, x: Tensor):
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight.mv(x) + bias).pow(2).sum()
        if torch.is_grad_enabled():
            loss.backward()
        return loss.detach()

    return closure


def test_optim_infos_do_not_specify_global_cliquey_kwargs():
    for info, given in CASES:
        assert not {"foreach", "fused", "differentiable"} & given.kwargs.keys(), info.name


@pytest.mark.parametrize("maximize", [False, True])
def test_forloop_goes_right_direction(case, maximize):
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias], foreach=False, maximize=maximize)
    closure = closure_of(optimizer, weight, bias, x)
    if case[0].name in PUT_ON_A_SPHERE:
        optimizer.step(closure)
    first = float(closure())
    for _ in range(20):
        optimizer.step(closure)
    assert float(closure()) > first if maximize else float(closure()) < first


def test_param_groups_lr(case):
    weight, bias, x = problem()
    optimizer = build(case, [{"params": [weight]}, {"params": [bias], "lr": 1e-3}])
    schedule = lr_scheduler.StepLR(optimizer, gamma=0.9, step_size=10)
    closure = closure_of(optimizer, weight, bias, x)
    if case[0].name in PUT_ON_A_SPHERE:
        optimizer.step(closure)
    first = float(closure())
    for _ in range(20):
        optimizer.step(closure)
        schedule.step()
    assert float(closure()) < first


def test_foreach_matches_forloop(case):
    ends = []
    for foreach in (False, True):
        weight, bias, x = problem(torch.float64)
        optimizer = build(case, [weight, bias], foreach=foreach)
        for _ in range(7):
            optimizer.step(closure_of(optimizer, weight, bias, x))
        ends.append((weight, bias))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_complex_is_refused(case):
    with pytest.raises(ValueError, match="takes real parameters"):
        build(case, [Parameter(torch.randn(2, dtype=torch.complex64))])


def test_step_is_noop_when_params_have_no_grad(case):
    weight, bias, _ = problem()
    before = weight.detach().clone()
    optimizer = build(case, [weight, bias])
    optimizer.step(lambda: torch.tensor(1.0))
    assert torch.equal(weight, before)
    assert not optimizer.state


def test_step_is_noop_for_zero_grads(case):
    if case[0].name in PUT_ON_A_SPHERE:
        pytest.skip("the weights are put on the sphere")
    weight, bias, _ = problem()
    optimizer = build(case, [weight, bias], weight_decay=0.0)
    before = weight.detach().clone()

    def closure() -> Tensor:
        for p in (weight, bias):
            p.grad = torch.zeros_like(p)
        return torch.tensor(1.0)

    optimizer.step(closure)
    assert torch.equal(weight, before)


def test_optimizer_can_be_printed(case):
    weight, bias, _ = problem()
    assert "Parameter Group 0" in repr(build(case, [weight, bias]))


def test_state_dict_deterministic(case):
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias])
    for _ in range(3):
        optimizer.step(closure_of(optimizer, weight, bias, x))
    copies = [Parameter(p.detach().clone()) for p in (weight, bias)]
    other = build(case, copies)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(5):
        optimizer.step(closure_of(optimizer, weight, bias, x))
        other.step(closure_of(other, *copies, x))
        assert torch.equal(weight, copies[0])
        assert torch.equal(bias, copies[1])


def test_can_load_older_state_dict(case):
    """One from before a key of the groups was there."""
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias])
    optimizer.step(closure_of(optimizer, weight, bias, x))
    old = copy.deepcopy(optimizer.state_dict())
    for group in old["param_groups"]:
        for key in ("maximize", "lr_0"):
            del group[key]
    optimizer.load_state_dict(old)
    optimizer.step(closure_of(optimizer, weight, bias, x))


def test_load_nontensor_step(case):
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias])
    optimizer.step(closure_of(optimizer, weight, bias, x))
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state["step"] = float(state["step"])
    optimizer.load_state_dict(saved)
    optimizer.step(closure_of(optimizer, weight, bias, x))
    assert {int(state["step"]) for state in optimizer.state.values()} == {2}


def test_save_load_equality_with_weights_only(case):
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias])
    optimizer.step(closure_of(optimizer, weight, bias, x))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = build(case, [Parameter(p.detach().clone()) for p in (weight, bias)])
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(other.state_dict()["state"], optimizer.state_dict()["state"], rtol=0, atol=0)
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_deepcopy_and_pickle_keep_all_public_attrs(case):
    weight, bias, _ = problem()
    optimizer = build(case, [weight, bias])
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert {key for key in vars(other) if key[0] != "_"} >= {key for key in vars(optimizer) if key[0] != "_"}


def test_hooks_are_called_and_may_change_the_arguments(case):
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias])
    closure, seen = closure_of(optimizer, weight, bias, x), []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, closure), kwargs))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    assert optimizer.step(lambda: pytest.fail("the hook's closure is the one")) is not None
    assert seen == ["after"]


def test_grads_are_never_inplaced_into(case):
    if case[0].step_requires_closure:
        pytest.skip("takes gradients of its own")
    weight, bias, x = problem()
    optimizer = build(case, [weight, bias])
    closure_of(optimizer, weight, bias, x)()
    version = weight.grad._version
    optimizer.step()
    assert weight.grad._version == version


def test_mixed_dtypes(case):
    """Groups of float64, float32 and bfloat16, whose steps are those that each has alone, to its precision."""
    dtypes, ends = (torch.float64, torch.float32, torch.bfloat16), []
    params = [Parameter(problem(torch.float64)[0].detach().to(dtype)) for dtype in dtypes]

    def closure() -> Tensor:
        for p in params:
            p.grad = torch.full_like(p, 0.25)
        return torch.tensor(1.0)

    optimizer = build(case, params, foreach=True)
    for _ in range(2):
        optimizer.step(closure)
    ends = [p.detach().double() for p in params]
    if not case[0].step_requires_closure:  # the ascent and the search are over all tensors together
        torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5)
    assert all(end.isfinite().all() for end in ends)


@pytest.mark.parametrize("info", DB, ids=lambda info: info.name)
def test_errors(info):
    for wrong in info.optim_error_inputs_func("cpu", torch.float32):
        given = wrong.optimizer_error_input
        with pytest.raises(wrong.error_type, match=wrong.error_regex):
            info.optim_cls(given.params, **given.kwargs)
