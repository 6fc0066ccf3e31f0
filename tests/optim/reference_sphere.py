"""The methods for scale-invariant weights as plain loops (form: `tests.optim.reference`), row by row."""

import numpy as np

from tests.optim.reference import adam, l2, sgd


def rows_of(w, h):
    """The weight as rows, one a group; None where each entry is by itself."""
    if h["invariance"] == "none" or w.ndim < 2:
        return None
    return w.reshape((w.shape[0], -1) if h["invariance"] == "channel" else (1, -1))


def by_rows(step, w, g, s, t, h):
    """Call step(x, g, state of the row, t, h) -> new x for each row; the state's entries are kept as lists."""
    x, gradients = rows_of(w, h), rows_of(g, h)
    states = s.setdefault("rows", [{} for _ in x])
    return np.stack([step(x[i], gradients[i], states[i], t, h) for i in range(len(x))]).reshape(w.shape)


def adams(w, g, s, t, h):
    """Section 4.1; on single entries, Adam."""
    g = l2(w, g, h)
    if rows_of(w, h) is None:
        return adam(w, g, s, t, h | {"wd": 0.0})
    return by_rows(_adams, w, g, s, t, h)


def _adams(x, g, s, t, h):
    b1, b2 = h["betas"]
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * np.dot(g, g) / len(g)
    return x - h["lr"] * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + h["eps"])


def adamsrt(w, g, s, t, h):
    """Algorithm 1."""
    g = l2(w, g, h)
    if rows_of(w, h) is None:
        return adam(w, g, s, t, h | {"wd": 0.0})
    return by_rows(_adamsrt, w, g, s, t, h)


def _adamsrt(x, g, s, t, h):
    new = _adams(x, g, s, t, h)
    s["m"] = (np.dot(new, x) * s["m"] - np.dot(s["m"], new) * x) / np.dot(new, new)
    s["v"] = np.dot(x, x) / np.dot(new, new) * s["v"]
    return new


def sgdmrt(w, g, s, t, h):
    """Appendix E."""
    g = l2(w, g, h)
    if rows_of(w, h) is None:
        s["b"] = h["momentum"] * s.get("b", 0) + (1 - h["dampening"]) * g
        return w - h["lr"] * s["b"]
    return by_rows(_sgdmrt, w, g, s, t, h)


def _sgdmrt(x, g, s, t, h):
    s["b"] = h["momentum"] * s.get("b", 0) + (1 - h["dampening"]) * g
    new = x - h["lr"] * s["b"]
    s["b"] = (np.dot(new, x) * s["b"] - np.dot(s["b"], new) * x) / np.dot(new, new)
    return new


def unit(x):
    """x / ||x||; a group of one entry has no direction to move in, and 0 stays 0."""
    return x / (np.linalg.norm(x) or 1.0)


def tangent(w, g, h):
    """Rows y on the sphere and h: the gradient at y, regularised (2 omega (Y Y^T Y - Y)), projected, clipped."""
    x, gradients = rows_of(w, h), rows_of(g, h)
    Y = np.stack([unit(row) for row in x])
    G = np.stack([np.linalg.norm(row) * gradient for row, gradient in zip(x, gradients, strict=True)])
    G = G + 2 * h["omega"] * (Y @ Y.T @ Y - Y)
    H = np.stack([g - np.dot(y, g) * y for y, g in zip(Y, G, strict=True)])
    clip = h["grad_clip"] or np.inf
    return Y, np.stack([row if np.linalg.norm(row) <= clip else clip * unit(row) for row in H])


def sgdg(w, g, s, t, h):
    """Cho and Lee, Algorithm 1."""
    if rows_of(w, h) is None:
        return sgd(w, g, s, t, h | {"dampening": 0.0, "nesterov": True})
    Y, H = tangent(w, g, h)
    states, new = s.setdefault("rows", [{} for _ in Y]), []
    for y, tangential, row in zip(Y, H, states, strict=True):
        d = h["momentum"] * row.get("b", 0) - h["lr_ratio"] * h["lr"] * tangential
        size = np.linalg.norm(d)
        u = unit(d)
        new.append(y * np.cos(size) + u * np.sin(size))
        row["b"] = size * (u * np.cos(size) - y * np.sin(size))
    return np.stack(new).reshape(w.shape)


def adamg(w, g, s, t, h):
    """Cho and Lee, Algorithm 2."""
    b1, b2 = h["betas"]
    if rows_of(w, h) is None:
        rest = h | {"dampening": 0.0, "nesterov": True, "momentum": b1}
        return {"sgd": sgd, "adam": adam}[h["rest"]](w, g, s, t, rest)
    Y, H = tangent(w, g, h)
    states, new = s.setdefault("rows", [{} for _ in Y]), []
    for y, tangential, row in zip(Y, H, states, strict=True):
        m = b1 * row.get("m", 0) + (1 - b1) * tangential
        row["v"] = b2 * row.get("v", 0) + (1 - b2) * np.dot(tangential, tangential)
        alpha = np.sqrt(1 - b2**t) / (1 - b1**t)
        d = -h["lr_ratio"] * h["lr"] * alpha * m / np.sqrt(row["v"] + h["eps"])
        size = np.linalg.norm(d)
        u = unit(d)
        new.append(y * np.cos(size) + u * np.sin(size))
        row["m"] = m - np.dot(u, m) * (y * np.sin(size) + (1 - np.cos(size)) * u)
    return np.stack(new).reshape(w.shape)


def adamg_repo(w, g, s, t, h):
    """AdamG of Adam-SRT's repository, on the rows."""
    if rows_of(w, h) is None:
        return adam(w, g, s, t, h)
    return by_rows(_adamg_repo, w, g, s, t, h)


def _adamg_repo(x, g, s, t, h):
    b1, b2 = h["betas"]
    m = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * np.dot(g, g)
    new = x - h["lr"] / (1 - b1**t) * m / (np.sqrt(s["v"]) / np.sqrt(1 - b2**t) + h["eps"])
    size, new_size = np.linalg.norm(x), np.linalg.norm(new)
    s["m"] = (np.dot(new, x) * m - np.dot(new, m) * x) / (size * new_size + h["eps"])
    return new / (new_size + h["eps"])


def adamg_star(w, g, s, t, h):
    """Theorem 4's scheme, v in the paper's sense; where lr or lambda change, v is put in the units of the new ones."""
    if rows_of(w, h) is None:
        return sgd(w, g, s, t, h | {"momentum": 0.0, "dampening": 0.0, "nesterov": False})
    return by_rows(_adamg_star, w, g, s, t, h)


def _adamg_star(x, g, s, t, h):
    beta = (1 - h["lr"] * h["wd"]) ** 4
    per_fourth = 1 / (2 * h["lr"] ** 2 * np.sqrt(beta))
    r0 = np.linalg.norm(x)
    v = s.get("fourth", r0**4) * per_fourth
    u, g = x / r0, g * r0
    new = unit(u - (2 * beta) ** -0.5 * g / np.sqrt(v))
    s["fourth"] = (beta * v + np.dot(g, g)) / per_fourth
    return new
