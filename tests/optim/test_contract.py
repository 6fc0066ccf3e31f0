"""What a user of torch.optim expects, for every optimizer of the table."""

import copy
import io
import pickle
import re

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import lr_scheduler

from optim.stages.base import Bucket
from tests.optim.table import NAMES, ROWS, Row

SHAPES = [(4, 3, 3, 3), (5, 6), (5,), ()]
DECAY = {"weight_decay": 0.1}


def draws(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]


def parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    return [Parameter(x) for x in draws(0, dtype)]


def closure_of(params, seed: int, sign: float = 1.0):
    """A convex loss of the weights, drawn by its seed; backpropagates only where gradients are enabled."""

    def closure() -> Tensor:
        slopes, curves = draws(2 * seed + 1, params[0].dtype), draws(2 * seed + 2, params[0].dtype)
        terms = [(p * a + 0.5 * p * p * b.abs()).sum() for p, a, b in zip(params, slopes, curves, strict=True)]
        loss = sign * torch.stack(terms).sum()
        if torch.is_grad_enabled():
            for p in params:
                p.grad = None
            loss.backward()
        return loss.detach()

    return closure


def advance(optimizer, params, seeds, sign: float = 1.0) -> list[Tensor]:
    for seed in seeds:
        optimizer.step(closure_of(params, seed, sign))
    return [p.detach().clone() for p in params]


def identical(xs, ys) -> bool:
    return all(torch.equal(x, y) for x, y in zip(xs, ys, strict=True))


def reloaded(row: Row, optimizer, params, **more):
    """A new optimizer over copies of the weights, given the saved state through a file."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    copies = [Parameter(p.detach().clone()) for p in params]
    fresh = row.build(copies, **more)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh, copies


@pytest.fixture(params=NAMES)
def row(request) -> Row:
    row = ROWS[request.param]
    property_ = request.node.originalname.removeprefix("test_")
    if property_ in row.skips:
        pytest.skip(row.skips[property_])
    return row


def test_resumes_with_the_same_bits(row):
    params = parameters()
    optimizer = row.build(params, **DECAY)
    advance(optimizer, params, range(7))
    other, copies = reloaded(row, optimizer, params, **DECAY)
    assert identical(advance(optimizer, params, range(7, 15)), advance(other, copies, range(7, 15)))


def test_a_loaded_state_is_a_copy(row):
    params = parameters()
    optimizer = row.build(params)
    advance(optimizer, params, range(3))
    kept = copy.deepcopy(optimizer.state_dict())
    other = row.build([Parameter(p.detach().clone()) for p in params])
    other.load_state_dict(optimizer.state_dict())
    advance(other, other.param_groups[0]["params"], range(3, 6))
    for state, before in zip(optimizer.state_dict()["state"].values(), kept["state"].values(), strict=True):
        assert identical(state.values(), before.values())


def test_gradients_are_left_alone(row):
    params = parameters()
    optimizer = row.build(params, **DECAY)
    if optimizer.evaluation.needs_closure:
        pytest.skip("takes gradients of its own")
    for seed in range(3):
        closure_of(params, seed)()
        before = [p.grad.clone() for p in params]
        optimizer.step()
        assert identical([p.grad for p in params], before)


def test_copies_and_pickles_go_on_alike(row):
    params = parameters()
    optimizer = row.build(params, **DECAY)
    advance(optimizer, params, range(4))
    copied, pickled = copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))
    expected = advance(optimizer, params, range(4, 8))
    for other in (copied, pickled):
        assert identical(advance(other, other.param_groups[0]["params"], range(4, 8)), expected)


def test_a_group_added_late_starts_from_its_own_first_step(row):
    params = parameters()
    optimizer = row.build(params[:3])
    for seed in range(4):
        advance_all_but_last(optimizer, params, seed)
    optimizer.add_param_group({"params": params[3:], **row.group})
    assert optimizer.param_groups[1]["lr"] == optimizer.param_groups[0]["lr"]
    advance(optimizer, params, [4])
    assert int(optimizer.state[params[3]]["step"]) == 1
    assert int(optimizer.state[params[0]]["step"]) == 5


def advance_all_but_last(optimizer, params, seed):
    closure = closure_of(params, seed)

    def without_last():
        loss = closure()
        params[-1].grad = None
        return loss

    optimizer.step(without_last)


def test_maximize_climbs_what_minimize_descends(row):
    down, up = parameters(), parameters()
    expected = advance(row.build(down, **DECAY), down, range(5))
    assert identical(advance(row.build(up, maximize=True, **DECAY), up, range(5), sign=-1.0), expected)


def test_a_tensor_may_be_the_learning_rate(row):
    plain, other = parameters(), parameters()
    lr = row.keywords["lr"]
    tensor = torch.tensor(lr, dtype=torch.float64)
    assert identical(advance(row.build(plain), plain, range(4)), advance(row.build(other, lr=tensor), other, range(4)))


def test_schedules_take_effect(row):
    makers = [
        lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.0 if step else 1.0),
        lambda o: lr_scheduler.OneCycleLR(o, row.keywords["lr"], total_steps=9, cycle_momentum=False),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1e-3, patience=0),
    ]
    constant = parameters()
    unscheduled = advance(row.build(constant), constant, range(5))
    for make in makers:
        params = parameters()
        optimizer = row.build(params)
        schedule = make(optimizer)
        for seed in range(5):
            advance(optimizer, params, [seed])
            schedule.step(*([1.0] if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else []))
        assert not identical(params, unscheduled)


def test_no_rate_no_move(row):
    params = parameters()
    optimizer = row.build(params, **DECAY)
    advance(optimizer, params, [0])
    optimizer.param_groups[0]["lr"] = 0.0
    before = [p.detach().clone() for p in params]
    after = advance(optimizer, params, [1])
    assert identical(after, before)


def test_one_cycle_moves_momentum_too(row):
    optimizer = row.build(parameters())
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        pytest.skip("has no momentum")
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=9, base_momentum=0.3, max_momentum=0.95)
    group, seen = optimizer.param_groups[0], []
    params = group["params"]
    for seed in range(4):
        seen.append(group["betas"][0] if "betas" in group else group["momentum"])
        advance(optimizer, params, [seed])
        schedule.step()
    assert seen[0] == 0.95 > seen[1] > seen[2]  # it falls while the rate rises
    fixed = row.build(others := parameters())
    schedule = lr_scheduler.OneCycleLR(fixed, 0.01, total_steps=9, cycle_momentum=False)
    for seed in range(4):
        advance(fixed, others, [seed])
        schedule.step()
    assert not identical(params, others)  # the step uses it


def test_a_closure_gives_its_loss_and_the_same_step(row):
    params, plain = parameters(), parameters()
    optimizer, other = row.build(params), row.build(plain)
    loss = optimizer.step(closure_of(params, 0))
    closure = closure_of(parameters(), 0)
    assert loss == closure()
    if not other.evaluation.needs_closure:
        closure_of(plain, 0)()
        assert other.step() is None
        assert identical(params, plain)


def test_a_grad_scaler_scales_back_and_skips_what_overflowed(row):
    """torch.amp.GradScaler: gradients times 1024 give the same steps (a power of 2), one with an inf gives none."""
    plain, scaled = parameters(), parameters()
    ours, other = row.build(plain, **DECAY), row.build(scaled, **DECAY)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=100)
    scaler.scale(torch.ones(()))
    if ours.evaluation.needs_closure:
        closure_of(scaled, 0)()
        with pytest.raises(ValueError, match=r"^\w+.step needs a closure: [^\n]*$"):  # which the scaler would not see
            scaler.step(other)
        return
    for seed in range(3):
        advance(ours, plain, [seed])
        closure_of(scaled, seed)()
        for p in scaled:
            p.grad.mul_(scaler.get_scale())
        scaler.step(other)
        scaler.update()
    assert identical(scaled, plain)
    closure_of(scaled, 3)()
    scaled[0].grad.view(-1)[0] = torch.inf
    scaler.step(other)
    scaler.update()
    assert identical(scaled, plain)
    assert scaler.get_scale() == 512.0
    for state, expected in zip(other.state.values(), ours.state.values(), strict=True):
        assert identical(state.values(), expected.values())


def test_hooks_run(row):
    params, seen = parameters(), []
    optimizer = row.build(params)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.register_state_dict_post_hook(lambda _, state: seen.append("saved"))
    optimizer.register_load_state_dict_pre_hook(lambda _, state: seen.append("loading"))
    optimizer.register_load_state_dict_post_hook(lambda _: seen.append("loaded"))
    advance(optimizer, params, [0])
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["before", "after", "saved", "loading", "loaded"]


def test_a_gradient_that_is_not_a_number_shows(row):
    params = parameters()
    optimizer = row.build(params)
    advance(optimizer, params, [0])
    closure = closure_of(params, 1, sign=float("nan"))
    optimizer.step(closure)
    assert all(p.isnan().all() for p in params)


def test_zero_gradients_and_zero_weights_stay_finite(row):
    params = [Parameter(torch.zeros(shape)) for shape in SHAPES]
    optimizer = row.build(params, **DECAY)
    for _ in range(3):
        optimizer.step(closure_of(params, 0, sign=0.0))
    assert all(p.isfinite().all() for p in params)


def test_sparse_and_complex_are_refused_in_one_line(row):
    p = Parameter(torch.zeros(3, 2))
    optimizer = row.build([p])

    def closure() -> Tensor:
        p.grad = torch.zeros(3, 2).to_sparse()
        return torch.zeros(())

    with pytest.raises(RuntimeError, match=r"^\w+ takes dense gradients[^\n]*$"):
        optimizer.step(closure)
    with pytest.raises(ValueError, match=r"^\w+ takes real parameters[^\n]*$"):
        row.build([Parameter(torch.zeros(2, dtype=torch.complex64))])


def test_lists_equal_the_loop(row):
    alone, together = parameters(), parameters()
    expected = advance(row.build(alone, foreach=False, **DECAY), alone, range(6))
    assert identical(advance(row.build(together, foreach=True, **DECAY), together, range(6)), expected)


@pytest.mark.parametrize("foreach", [False, True])
def test_empty_tensors_are_left_alone(row, foreach):
    """As torch's: a layer of no width, or a rank's empty share of a sharded tensor."""
    alone, among = parameters(), parameters()
    empty = [Parameter(torch.empty(shape)) for shape in ((0, 3), (3, 0), (0,), (2, 0, 3, 3))]
    for p in empty:
        p.grad = torch.empty_like(p)
    expected = advance(row.build(alone, foreach=foreach, **DECAY), alone, range(3))
    optimizer = row.build(empty + among, foreach=foreach, **DECAY)
    assert identical(advance(optimizer, among, range(3)), expected)
    optimizer.epoch_end()
    advance(optimizer, among, [3])


def test_steps_are_counted_past_2_to_the_24(row):
    """Where a float32 count no longer grows."""
    params = parameters()
    optimizer = row.build(params)
    advance(optimizer, params, [0])
    for state in optimizer.state.values():
        state["step"].fill_(2**24)
    advance(optimizer, params, [1])
    assert {int(state["step"]) for state in optimizer.state.values()} == {2**24 + 1}


def test_channels_last_equals_contiguous(row):
    plain = parameters()
    turned = [Parameter(p.detach().clone()) for p in plain]
    turned[0] = Parameter(turned[0].detach().to(memory_format=torch.channels_last))
    expected = advance(row.build(plain, **DECAY), plain, range(6))
    for x, y in zip(advance(row.build(turned, **DECAY), turned, range(6)), expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)
    assert turned[0].is_contiguous(memory_format=torch.channels_last)


def test_half_precision_keeps_state_in_float32_past_step_300(row):
    params = parameters(torch.bfloat16)
    optimizer = row.build(params, **DECAY)
    advance(optimizer, params, range(3))
    for state in optimizer.state.values():
        assert all(value.dtype == torch.float32 for name, value in state.items() if name != "step")
        state["step"].fill_(300)
    other, copies = reloaded(row, optimizer, params, **DECAY)
    expected = advance(optimizer, params, range(3, 6))
    assert identical(advance(other, copies, range(3, 6)), expected)
    assert {int(state["step"]) for state in other.state.values()} == {303}
    assert all(p.dtype == torch.bfloat16 and p.isfinite().all() for p in copies)


WRONG = [(name, key, value) for name in NAMES for key, values in ROWS[name].errors.items() for value in values]


@pytest.mark.parametrize(("name", "key", "value"), WRONG)
def test_a_wrong_value_is_named_in_one_line(name, key, value):
    row = ROWS[name]
    with pytest.raises(ValueError, match=rf"^{key}={re.escape(repr(value))} is not allowed: [^\n]+$"):
        row.build(parameters(), **{key: value})
    if key in row.build(parameters()).param_groups[0]:
        with pytest.raises(ValueError, match=rf"^{key}="):
            row.make([{"params": parameters(), **row.group, key: value}], **row.keywords)


def test_an_update_is_spared_where_its_memory_is_nobody_elses():
    weight, grad, buffer, fresh = (torch.zeros(2, 3) for _ in range(4))
    bucket = Bucket([weight], [grad], [{"stage.buffer": buffer}], [{}], {})
    assert bucket.spare(fresh) is fresh
    for kept in (weight, grad, buffer, grad[0], buffer.T, fresh[:1], torch.zeros(1, 3).expand(2, 3)):
        assert bucket.spare(kept) is None
