"""Low-rank structure of a weight: EVBMF and the metrics of RMSGD (Hosseini et al., CVPR 2023), on tensors alone.

EVBMF is the empirical variational Bayesian matrix factorisation of Nakajima et al. (JMLR 2013, global analytic
solution): it splits the singular values of a matrix into noise, which is dropped, and structure, which is shrunk.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

SCALES = ("official", "rescaled")


class Spectrum(NamedTuple):
    """What one weight's low-rank structure d_1 >= .. >= d_r looks like; all nan for a weight that is not finite.

    As printed: rank: r / n, n the shorter side. stable_rank: s (Eq. 2), in [0, 1]. condition: kappa = 1 - d_r / d_1
    (Eq. 3), in [0, 1). quality: arctan(s / kappa) (Eq. 4), in [0, pi/2].
    As the authors' code has them: code_stable_rank: sum_i (d_i / d_1) / rows. code_condition: d_1 / d_r, from 1 on.
    Without structure (r = 0) rank and stable ranks are 0; condition and quality, ratios of nothing, are nan.
    """

    rank: float
    stable_rank: float
    condition: float
    quality: float
    code_stable_rank: float
    code_condition: float


def analyse(weight: Tensor, evbmf_scale: str = "official") -> Spectrum:
    """Return the metrics of a weight: a matrix's own, or the mean over a kernel's two unfoldings.

    A ratio is averaged over the unfoldings that have structure. `weight` has 2 or more dims; see `unfold`, `evbmf` and
    `stable_rank` for the rest. Raises ValueError for fewer dims.
    """
    matrices = unfold(weight)
    if weight.shape[2:].numel() == 1:  # one matrix and its transpose: the same singular values
        d = evbmf(matrices[0], evbmf_scale)
        spectra = [_spectrum(d, matrix) for matrix in matrices]
    else:
        spectra = [_spectrum(evbmf(matrix, evbmf_scale), matrix) for matrix in matrices]
    return Spectrum(*(_mean(values) for values in zip(*spectra, strict=True)))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def unfold(weight: Tensor) -> list[Tensor]:
    """Return a kernel [O, I, ...] as [I, O ...] (mode 3, input) and [O, I ...] (mode 4, output); a matrix as it is."""
    if weight.ndim < 2:
        raise ValueError(f"unfold takes a weight of 2 or more dims, not {weight.ndim}")
    if weight.ndim == 2:
        return [weight]
    return [weight.transpose(0, 1).flatten(1), weight.flatten(1)]


def stable_rank(d: Tensor, rows: int, columns: int, p: int = 1) -> float:
    """Return sum_i (d_i / d_1)^p / n, in [0, 1], for the singular values d of a [rows, columns] matrix; 0 without any.

    p = 1 is what the authors ran, with n = rows, which may be the longer side; p = 2 is as printed (Eq. 2), with n
    the shorter side, so that a matrix and its transpose have one value. (For p = 1 rows * s has.)
    """
    n = rows if p == 1 else min(rows, columns)
    return float((d / d[0]).pow(p).sum()) / n if len(d) else 0.0


def quality_of_net(qualities: Iterable[float]) -> float:
    """Return Q = ||q||_2 / sqrt(L) over the L layers that have a quality (Eq. 5); nan for none."""
    squares = [q * q for q in qualities if not math.isnan(q)]
    return math.sqrt(sum(squares) / len(squares)) if squares else math.nan


def singular_values(matrix: Tensor) -> Tensor:
    """Return the min(rows, columns) singular values, descending, float64, on the CPU.

    From the Gram matrix of the shorter side in float64, so exact to about 1e-8 of the largest: a small part of
    the cost of an SVD, of which EVBMF needs no vectors. Not finite: all nan.
    """
    short = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T).detach().double()
    gram = short @ short.T
    if not gram.isfinite().all():
        return torch.full((len(gram),), math.nan, dtype=torch.float64)
    eigenvalues: Tensor = torch.linalg.eigvalsh(gram)
    return eigenvalues.clamp_min(0).sqrt().flip(0).cpu()


def evbmf(matrix: Tensor, scale: str = "official") -> Tensor:
    """Return the shrunk singular values of the matrix's structure: [r], descending, float64, on the CPU.

    With L <= M the sides, a = L / M and tau = 2.5129 sqrt(a): xbar = (1 + tau)(1 + a / tau); the noise variance
    sigma^2 minimises the free energy; kept is s > sqrt(M sigma^2 xbar), shrunk to
    s/2 (1 - (L+M) sigma^2 / s^2 + sqrt((1 - (L+M) sigma^2 / s^2)^2 - 4 L M sigma^4 / s^4)).

    `scale` is how the search for sigma^2 ends: "official" at an absolute tolerance of 1e-5, as the code that made
    RMSGD's tables (coarser than the whole bracket for small weights: on noise of variance 1e-5 it finds rank 5),
    "rescaled" at 1e-5 of the lower bound. Raises ValueError for another word. A matrix that is not finite gives [nan],
    an empty one [].
    """
    if scale not in SCALES:
        raise ValueError(f"evbmf_scale={scale!r} is not allowed: choose one of {', '.join(SCALES)}")
    long = max(matrix.shape)
    s = singular_values(matrix)
    if s[:1].isnan().any() or not len(s):
        return s[:1]
    variance = noise_variance(s, long, scale)
    kept = s[s > math.sqrt(long * variance * _xbar(len(s) / long))]
    share = 1 - (len(s) + long) * variance / kept**2
    return kept / 2 * (share + (share**2 - 4 * len(s) * long * variance**2 / kept**4).sqrt())


def noise_variance(s: Tensor, long: int, scale: str = "official") -> float:
    """Return EVBMF's sigma^2 for the singular values s (descending, [L]) of a matrix with longer side `long`.

    scipy's bounded Brent search over [max(s_{k+1}^2 / (M xbar), mean_{i>k} s_i^2 / M), sum s^2 / (L M)],
    k = ceil(L / (1 + a)) - 1.
    """
    from scipy.optimize import minimize_scalar

    squares, short = s.square().numpy(), len(s)
    ratio = short / long
    start = math.ceil(short / (1 + ratio)) - 1
    upper = float(squares.sum()) / (short * long)
    lower = max(float(squares[start]) / (long * _xbar(ratio)), float(squares[start:].mean()) / long)
    if not lower < upper:  # one row, or nothing but zeros
        return upper
    unit = (lower or upper) if scale == "rescaled" else 1.0
    energy = _free_energy(squares / (long * unit), ratio)
    found = minimize_scalar(energy, bounds=(lower / unit, upper / unit), method="bounded")
    return float(found.x) * unit


def _free_energy(y: Any, ratio: float) -> Callable[[float], float]:
    """Return F(sigma^2), up to a constant, for y_i = s_i^2 / M (numpy, [L]).

    The ln x of every term differs from -ln sigma^2 by a constant, left out: so that s_i = 0 does no harm.
    """
    import numpy as np

    xbar = _xbar(ratio)

    def energy(variance: float) -> float:
        x = y / variance
        kept = x[x > xbar]
        b = kept - (1 + ratio)
        tau = (b + np.sqrt(b * b - 4 * ratio)) / 2
        gain = np.log1p(tau) + ratio * np.log1p(tau / ratio) - tau
        return float(x.sum() + gain.sum() + len(x) * math.log(variance))

    return energy


def _xbar(ratio: float) -> float:
    tau = 2.5129 * math.sqrt(ratio)
    return (1 + tau) * (1 + ratio / tau)


def _spectrum(d: Tensor, matrix: Tensor) -> Spectrum:
    if not len(d):
        return Spectrum(0.0, 0.0, math.nan, math.nan, 0.0, math.nan)
    if d.isnan().any():
        return Spectrum(*[math.nan] * len(Spectrum._fields))
    rows, columns = matrix.shape
    s, in_code = (stable_rank(d, rows, columns, p) for p in (2, 1))
    kappa = float(1 - d[-1] / d[0])
    return Spectrum(len(d) / min(rows, columns), s, kappa, math.atan2(s, kappa), in_code, float(d[0] / d[-1]))
