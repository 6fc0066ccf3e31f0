"""EVBMF against a plain numpy reading of the authors' steps, and the metrics' laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from optim.evbmf import (
    SCALES,
    Spectrum,
    analyse,
    evbmf,
    noise_variance,
    quality_of_net,
    singular_values,
    stable_rank,
    unfold,
)


def planted(rows, columns, rank, noise=1.0, strength=20.0, seed=0):
    draw = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, rank, generator=draw, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(columns, rank, generator=draw, dtype=torch.float64))[0]
    sizes = strength * math.sqrt(max(rows, columns)) * torch.linspace(1, 2, rank, dtype=torch.float64)
    noisy = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    return noise * (noisy + left * sizes @ right.T)


def plain_evbmf(Y, scale):
    """The factorisation with a full SVD and every term of the free energy, in the authors' order."""
    Y = Y.numpy()
    if Y.shape[0] > Y.shape[1]:
        Y = Y.T
    L, M = Y.shape
    alpha = L / M
    tauubar = 2.5129 * math.sqrt(alpha)
    xubar = (1 + tauubar) * (1 + alpha / tauubar)
    _, s, _ = np.linalg.svd(Y, full_matrices=False)
    k = int(min(math.ceil(L / (1 + alpha)) - 1, L)) - 1
    upper = np.sum(s**2) / (L * M)
    lower = max(s[k + 1] ** 2 / (M * xubar), np.mean(s[k + 1 :] ** 2) / M)

    def tau(x):
        return (x - (1 + alpha) + np.sqrt((x - (1 + alpha)) ** 2 - 4 * alpha)) / 2

    def free_energy(sigma2):
        x = s**2 / (M * sigma2)
        z1, z2 = x[x > xubar], x[x <= xubar]
        one = np.sum(z2 - np.log(z2)) + np.sum(z1 - tau(z1))
        return one + np.sum(np.log((tau(z1) + 1) / z1)) + alpha * np.sum(np.log(tau(z1) / alpha + 1))

    unit = lower if scale == "rescaled" else 1.0
    bounds = [lower / unit, upper / unit]
    sigma2 = unit * minimize_scalar(lambda v: free_energy(v * unit), bounds=bounds, method="Bounded").x
    s = s[s > np.sqrt(M * sigma2 * (1 + tauubar) * (1 + alpha / tauubar))]
    part = 1 - (L + M) * sigma2 / s**2
    return sigma2, s / 2 * (part + np.sqrt(part**2 - 4 * L * M * sigma2**2 / s**4))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-3])
@pytest.mark.parametrize(("rows", "columns", "rank"), [(16, 144, 3), (144, 16, 3), (24, 24, 5), (9, 40, 0)])
def test_equals_the_plain_reading(rows, columns, rank, noise, scale):
    Y = planted(rows, columns, rank, noise, strength=3.0)
    sigma2, d = plain_evbmf(Y, scale)
    ours = evbmf(Y, scale)
    assert len(ours) == len(d)
    np.testing.assert_allclose(ours, d, rtol=1e-7)
    assert noise_variance(singular_values(Y), max(Y.shape), scale) == pytest.approx(sigma2, rel=1e-7)


@given(st.integers(8, 24), st.integers(40, 90), st.integers(0, 4), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_finds_the_planted_rank_and_nothing_in_noise(rows, columns, rank, seed):
    for scale in SCALES:
        assert len(evbmf(planted(rows, columns, rank, seed=seed), scale)) == rank


def test_the_noise_of_small_weights_needs_the_rescaled_search():
    """The authors' absolute tolerance is wider than the bracket: noise of variance 1e-6 looks like structure."""
    noise = 1e-3 * torch.randn(64, 576, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert len(evbmf(noise, "official")) > 0
    assert len(evbmf(noise, "rescaled")) == 0


@given(st.integers(2, 20), st.integers(2, 60), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_as_printed_all_are_bounded_and_the_same_for_the_transpose(rows, columns, rank, seed):
    Y = planted(rows, columns, min(rank, rows, columns), seed=seed)
    one, other = analyse(Y), analyse(Y.T)
    assume(one.rank)
    assert 0 < one.stable_rank <= 1
    assert 0 < one.rank <= 1
    assert 0 <= one.condition < 1
    assert 0 < one.quality <= math.pi / 2
    assert one[:4] == pytest.approx(other[:4], rel=1e-9)
    assert one.code_condition == pytest.approx(1 / (1 - one.condition), rel=1e-9)
    assert one.code_stable_rank * rows == pytest.approx(other.code_stable_rank * columns, rel=1e-9)


def test_metrics_by_hand():
    d = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    assert stable_rank(d, 14, 7) == pytest.approx(1.75 / 14)
    assert stable_rank(d, 14, 7, p=2) == pytest.approx((1 + 0.25 + 1 / 16) / 7)
    assert stable_rank(d[:0], 14, 7) == 0
    assert quality_of_net([1.0, 2.0]) == pytest.approx(math.sqrt(2.5))
    assert quality_of_net([1.0, math.nan, 2.0]) == quality_of_net([1.0, 2.0])
    assert math.isnan(quality_of_net([]))


def test_a_layer_is_the_mean_of_its_two_unfoldings():
    draw = torch.Generator().manual_seed(1)
    kernel = torch.randn(12, 6, 3, 3, generator=draw, dtype=torch.float64)
    kernel += 8 * planted(12, 54, 2, seed=2).reshape(12, 6, 3, 3)
    mode3, mode4 = unfold(kernel)
    assert mode3.shape == (6, 108)
    assert mode4.shape == (12, 54)
    assert torch.equal(mode3[2].reshape(12, 3, 3), kernel[:, 2])
    assert torch.equal(mode4[5].reshape(6, 3, 3), kernel[5])
    one, other = analyse(mode3), analyse(mode4)
    assert one.stable_rank != other.stable_rank
    np.testing.assert_allclose(analyse(kernel), (np.array(one) + np.array(other)) / 2)
    d = evbmf(mode4)
    assert other.code_condition == pytest.approx(float(d[0] / d[-1]))
    assert other.condition == pytest.approx(float(1 - d[-1] / d[0]))
    assert other.stable_rank == pytest.approx(float((d**2).sum() / d[0] ** 2) / 12)
    assert other.code_stable_rank == pytest.approx(float(d.sum() / d[0]) / 12)
    assert math.tan(other.quality) == pytest.approx(other.stable_rank / other.condition)


def test_a_1x1_kernel_is_factorised_once_and_counted_twice():
    matrix = planted(30, 10, 2)
    got = analyse(matrix.reshape(30, 10, 1, 1))
    np.testing.assert_allclose(got, (np.array(analyse(matrix)) + np.array(analyse(matrix.T))) / 2)


def test_a_ratio_is_that_of_the_unfolding_which_has_structure():
    """A depthwise kernel's mode 3 has one row, so never any; d_1 / d_r is at least 1 in every mean."""
    kernel = planted(24, 9, 2).reshape(24, 1, 3, 3)
    mode3, mode4 = (analyse(matrix) for matrix in unfold(kernel))
    got = analyse(kernel)
    assert mode3.rank == mode3.stable_rank == 0
    assert (got.condition, got.code_condition, got.quality) == (mode4.condition, mode4.code_condition, mode4.quality)
    assert got.code_condition >= 1
    assert got.stable_rank == mode4.stable_rank / 2


def test_odd_weights():
    nothing = Spectrum(0.0, 0.0, math.nan, math.nan, 0.0, math.nan)
    for shape in ((4, 3, 3, 3), (0, 3), (3, 0), (2, 0, 3, 3), (0, 2, 3, 3)):
        np.testing.assert_equal(analyse(torch.zeros(shape)), nothing)
    assert len(evbmf(torch.randn(1, 72))) == 0  # a depthwise kernel's mode 3: upper = lower bound
    exact = analyse(torch.ones(4, 6), evbmf_scale="rescaled")  # rank one, no noise at all
    assert exact.rank == 0.25
    assert exact.condition == 0
    assert exact.quality == math.pi / 2
    assert all(math.isnan(value) for value in analyse(torch.full((3, 4), math.nan)))
    half = planted(20, 50, 3).to(torch.bfloat16)
    assert len(evbmf(half)) == 3
    with pytest.raises(ValueError, match="2 or more dims, not 1"):
        unfold(torch.ones(3))
    with pytest.raises(ValueError, match="evbmf_scale='offical' is not allowed: choose one of official, rescaled"):
        evbmf(torch.ones(3, 3), "offical")


def test_singular_values_are_those_of_an_svd():
    for shape in [(5, 40), (40, 5), (7, 7)]:
        Y = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(singular_values(Y), torch.linalg.svdvals(Y.double()), rtol=1e-10, atol=1e-12)
