"""Each method as the plainest loop: one tensor, one step, float64 numpy, the paper's letters, nothing shared but decay.

A loop is `method(w, g, s, t, h)`: weight, raw gradient, this tensor's own state (a dict, empty at first), its step
count from 1, and the hyper-parameters (`lr` now, `lr_0` at first, `wd`, `decay`, the method's own). It returns the
new weight.
"""

import numpy as np


def l2(w, g, h):
    return g + h["wd"] * w if h["decay"] == "coupled" else g


def decayed(w, h, scale=1.0):
    if h["decay"] == "coupled":
        return w
    rate = h["lr"] if h["decay"] == "decoupled" else h["lr"] / h["lr_0"]
    return w * (1 - rate * h["wd"] * scale)


def moments(g, s, t, betas):
    """m, v and their bias-corrected forms, by Adam's Algorithm 1."""
    b1, b2 = betas
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    return s["m"] / (1 - b1**t), s["v"] / (1 - b2**t)


def softplus(x, beta=50.0):
    return np.where(beta * x > 20, x, np.log1p(np.exp(np.minimum(beta * x, 20.5))) / beta)


def centred(g):
    if g.ndim < 2 or g[0].size == 1:
        return g
    return np.stack([row - row.mean() for row in g])


def looked_ahead(w, w0, s, t, k, alpha):
    s.setdefault("slow", w0)
    if t % k == 0:
        s["slow"] = s["slow"] + alpha * (w - s["slow"])
        return s["slow"]
    return w


def sgd(w, g, s, t, h):
    g = l2(w, g, h)
    s["b"] = g if t == 1 else h["momentum"] * s["b"] + (1 - h["dampening"]) * g
    step = g + h["momentum"] * s["b"] if h["nesterov"] else s["b"]
    return decayed(w, h) - h["lr"] * step


def adam(w, g, s, t, h):
    mhat, vhat = moments(l2(w, g, h), s, t, h["betas"])
    return decayed(w, h) - h["lr"] * mhat / (np.sqrt(vhat) + h["eps"])


def gc_sgd(w, g, s, t, h):
    plain = h | {"decay": "coupled", "wd": 0.0}
    return sgd(decayed(w, h), centred(l2(w, g, h)), s, t, plain)


def gc_adamw(w, g, s, t, h):
    return adam(w, centred(g), s, t, h)


def sing(w, g, s, t, h):
    """The authors' code, steps 2 to 8; the bases other than Adam as Appendix C names them."""
    g = centred(l2(w, g, h))
    g = g / (np.linalg.norm(g) + h["eps"])
    decay = decayed(w, h) if w.ndim > 1 else w
    new = decay - h["lr"] * BASES[h["base"]](g, s, t, h)
    return looked_ahead(new, w, s, t, *h["lookahead"]) if h["lookahead"] else new


def _sing_adam(g, s, t, h):
    mhat, vhat = moments(g, s, t, h["betas"])
    d = np.sqrt(vhat)
    return mhat / (softplus(d) if h["denominator"] == "softplus" else d + h["eps"])


def _sing_sgd(g, s, t, h):
    s["b"] = g if t == 1 else h["betas"][0] * s["b"] + g
    return s["b"]


def _sing_adabelief(g, s, t, h):
    b2, eps = h["betas"][1], h["eps"] ** 2
    mhat, shat = beliefs(g, s, t, h["betas"], eps)
    r = rectified(b2, t)
    if r is None:
        return mhat
    if h["denominator"] == "softplus":
        return r * mhat / softplus(np.sqrt(shat))
    return r * np.sqrt(1 - b2**t) * mhat / (np.sqrt(s["s"]) + eps)


def _sing_adafactor(g, s, t, h):
    v = factored(g, s, t, -0.8, np.float64(np.finfo(np.float32).eps))
    floor = np.finfo(np.float32).eps
    u = g / (softplus(np.sqrt(v)) if h["denominator"] == "softplus" else np.sqrt(np.maximum(v, floor**2)))
    return u / max(1.0, np.sqrt(np.mean(u * u)))


BASES = {"adam": _sing_adam, "sgd": _sing_sgd, "adabelief": _sing_adabelief, "adafactor": _sing_adafactor}


def factored(g, s, t, decay, eps1):
    """Adafactor's Vhat: over the last two dimensions, with b2_t = 1 - t^decay."""
    new = t**decay
    if g.ndim < 2:
        s["V"] = (1 - new) * s.get("V", 0) + new * g * g
        return s["V"]
    s["R"] = (1 - new) * s.get("R", 0) + new * (g * g).mean(-1)
    s["C"] = (1 - new) * s.get("C", 0) + new * (g * g).mean(-2)
    total = np.maximum(s["R"].mean(-1), eps1)
    return s["R"][..., :, None] * s["C"][..., None, :] / total[..., None, None]


def beliefs(g, s, t, betas, eps):
    b1, b2 = betas
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["s"] = b2 * s.get("s", 0) + (1 - b2) * (g - s["m"]) ** 2 + eps
    return s["m"] / (1 - b1**t), s["s"] / (1 - b2**t)


def adabelief(w, g, s, t, h):
    b2 = h["betas"][1]
    mhat, shat = beliefs(l2(w, g, h), s, t, h["betas"], h["eps"])
    w = decayed(w, h)
    if not h["rectify"]:
        return w - h["lr"] * mhat / (np.sqrt(shat) + h["eps"])
    r = rectified(b2, t)
    if r is None:
        return w - h["lr"] * mhat
    return w - h["lr"] * r * np.sqrt(1 - b2**t) * mhat / (np.sqrt(s["s"]) + h["eps"])


def rectified(b2, t):
    """RAdam's r_t; None where its rho is below 5."""
    rho_inf = 2 / (1 - b2) - 1
    rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
    return np.sqrt((rho - 4) / (rho_inf - 4) * (rho - 2) / (rho_inf - 2) * rho_inf / rho) if rho >= 5 else None


def adafactor(w, g, s, t, h):
    """With lr as its rate; Vhat is never below eps1^2."""
    v = factored(l2(w, g, h), s, t, h["beta2_decay"], h["eps1"])
    u = l2(w, g, h) / np.sqrt(np.maximum(v, h["eps1"] ** 2))
    return decayed(w, h) - h["lr"] * u / max(1.0, np.sqrt(np.mean(u * u)) / h["d"])


def adabound(w, g, s, t, h):
    b1, b2 = h["betas"]
    moments(l2(w, g, h), s, t, h["betas"])
    final = h["final_lr"] * h["lr"] / h["lr_0"]
    low, high = final * (1 - 1 / (h["gamma"] * t + 1)), final * (1 + 1 / (h["gamma"] * t))
    eta = h["lr"] * np.sqrt(1 - b2**t) / (1 - b1**t) / (np.sqrt(s["v"]) + h["eps"])
    return decayed(w, h) - np.clip(eta, low, high) * s["m"]


def yogi(w, g, s, t, h):
    b1, b2 = h["betas"]
    g = l2(w, g, h)
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    v = s.get("v", np.full_like(w, h["initial_accumulator"]))
    s["v"] = v - (1 - b2) * np.sign(v - g * g) * g * g
    return decayed(w, h) - h["lr"] * s["m"] / (1 - b1**t) / (np.sqrt(s["v"] / (1 - b2**t)) + h["eps"])


def lamb(w, g, s, t, h):
    mhat, vhat = moments(l2(w, g, h), s, t, h["betas"])
    m, v = (mhat, vhat) if h["debias"] else (s["m"], s["v"])
    wd = {"coupled": 0, "decoupled": h["wd"], "absolute": h["wd"] / h["lr_0"]}[h["decay"]]
    u = m / (np.sqrt(v) + h["eps"]) + wd * w
    norm, size = np.linalg.norm(u), min(np.linalg.norm(w), h["max_norm"])
    ratio = size / norm if norm > 0 and size > 0 else 1.0
    return w - h["lr"] * ratio * u


def lookahead(w, g, s, t, h):
    plain = h | {"momentum": h["betas"][0], "dampening": 0.0, "nesterov": False, "eps": 1e-8}
    new = {"sgd": sgd, "adam": adam}[h["base"]](w, g, s, t, plain)
    return looked_ahead(new, w, s, t, h["k"], h["alpha"])


def projected(w, g, p, h):
    """Pi_w(p) and whether it was applied: by channel, else by layer, else not at all."""
    if w.ndim < 2:
        return p, False
    for shape in ((w.shape[0], -1), (1, -1)):
        rows, gradients, steps = w.reshape(shape), g.reshape(shape), p.reshape(shape)
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(gradients, axis=1)
        cosines = np.abs((rows * gradients).sum(1)) / norms
        if cosines.max() < h["delta"] / np.sqrt(rows.shape[1]):
            u = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + h["eps"])
            return (steps - u * (u * steps).sum(1, keepdims=True)).reshape(w.shape), True
    return p, False


def adamp(w, g, s, t, h):
    b1, used = h["betas"][0], l2(w, g, h)
    mhat, vhat = moments(used, s, t, h["betas"])
    m = (b1 * s["m"] + (1 - b1) * used) / (1 - b1**t) if h["nesterov"] else mhat
    q, found = projected(w, g, m / (np.sqrt(vhat) + h["eps"]), h)
    return decayed(w, h, h["wd_ratio"] if found else 1.0) - h["lr"] * q


def sgdp(w, g, s, t, h):
    mu, used = h["momentum"], l2(w, g, h)
    s["b"] = mu * s.get("b", 0) + (1 - h["dampening"]) * used
    q, found = projected(w, g, used + mu * s["b"] if h["nesterov"] else s["b"], h)
    return decayed(w, h, (h["wd_ratio"] if found else 1.0) / (1 - mu)) - h["lr"] * q


def chain(w, g, s, t, h):
    """The chain of the tests' row: centred, normalised, Adam with softplus, AdamP's projection."""
    own = {"delta": 0.1, "eps": 1e-8}
    used = centred(l2(w, g, h))
    mhat, vhat = moments(used / (np.linalg.norm(used) + 1e-8), s, t, (0.8, 0.95))
    q, found = projected(w, g, mhat / softplus(np.sqrt(vhat)), own)
    return decayed(w, h, 0.1 if found else 1.0) - h["lr"] * q


def lion(w, g, s, t, h):
    b1, b2 = h["betas"]
    g, m = l2(w, g, h), s.get("m", 0)
    s["m"] = b2 * m + (1 - b2) * g
    return decayed(w, h) - h["lr"] * np.sign(b1 * m + (1 - b1) * g)


def cautious(w, g, s, t, h):
    mhat, vhat = moments(l2(w, g, h), s, t, h["betas"])
    u = mhat / (np.sqrt(vhat) + h["eps"])
    mask = u * g > 0
    return decayed(w, h) - h["lr"] * u * mask * w.size / (mask.sum() + 1)


def adan(w, g, s, t, h):
    b1, b2, b3 = h["betas"]
    g = l2(w, g, h)
    d = g - s["g"] if t > 1 else 0 * g
    s["g"] = g
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * d
    s["n"] = b3 * s.get("n", 0) + (1 - b3) * (g + b2 * d) ** 2
    mhat, vhat, nhat = s["m"] / (1 - b1**t), s["v"] / (1 - b2**t), s["n"] / (1 - b3**t)
    eta = h["lr"] / (np.sqrt(nhat) + h["eps"])
    shrink = {"coupled": 0, "decoupled": h["lr"], "absolute": h["lr"] / h["lr_0"]}[h["decay"]] * h["wd"]
    return (w - eta * (mhat + b2 * vhat)) / (1 + shrink)


def mars(w, g, s, t, h):
    b1 = h["betas"][0]
    g = l2(w, g, h)
    c = g + h["gamma"] * b1 / (1 - b1) * (g - s.get("g", 0))
    s["g"] = g
    c = c / max(1.0, np.linalg.norm(c)) if w.ndim > 1 or h["optimize_1d"] else g
    mhat, vhat = moments(c, s, t, h["betas"])
    return decayed(w, h) - h["lr"] * mhat / (np.sqrt(vhat) + h["eps"])


def newton_schulz(x, coefficients, steps, eps):
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / max(np.linalg.norm(x), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon(w, g, s, t, h):
    g = l2(w, g, h)
    if w.ndim < 2:
        mhat, vhat = moments(g, s, t, h["betas"])
        own = h["adam_lr"] * h["lr"] / h["lr_0"]
        rate = own if h["decay"] == "decoupled" else h["lr"]
        return decayed(w, h | {"lr": rate}) - own * mhat / (np.sqrt(vhat) + h["adam_eps"])
    mu = h["momentum"]
    s["b"] = mu * s.get("b", 0) + (1 - mu) * g
    x = ((1 - mu) * g + mu * s["b"] if h["nesterov"] else s["b"]).reshape(w.shape[0], -1)
    rows, columns = x.shape
    scale = {
        "original": max(1, rows / columns) ** 0.5,
        "match_rms_adamw": 0.2 * max(rows, columns) ** 0.5,
        "spectral_unclamped": (rows / columns) ** 0.5,
        "none": 1.0,
    }[h["adjust_lr"]]
    o = newton_schulz(x, h["ns_coefficients"], h["ns_steps"], h["eps"])
    return decayed(w, h) - h["lr"] * scale * o.reshape(w.shape)


def schedule_free(y, u, s, t, h, beta):
    """One step from y with the direction u, through x and z as Eq. 3 to 5 have them."""
    scale = {"coupled": 0, "decoupled": 1, "absolute": 1 / h["lr_0"]}[h["decay"]]
    lr = h["lr"] * (min(1, t / h["warmup_steps"]) if h["warmup_steps"] else 1)
    x, z = s.get("x", y), s.get("z", y)
    s["lr_max"] = max(s.get("lr_max", 0), lr)
    weight = t ** h["r"] * s["lr_max"] ** h["weight_lr_power"]
    s["sum"] = s.get("sum", 0) + weight
    c = weight / s["sum"]
    s["z"] = z - lr * (u + scale * h["wd"] * y)
    s["x"] = (1 - c) * x + c * s["z"]
    return beta * s["x"] + (1 - beta) * s["z"]


def schedule_free_sgd(w, g, s, t, h):
    return schedule_free(w, l2(w, g, h), s, t, h, h["momentum"])


def schedule_free_adamw(w, g, s, t, h):
    beta, b2 = h["betas"]
    g = l2(w, g, h)
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    return schedule_free(w, g / (np.sqrt(s["v"] / (1 - b2**t)) + h["eps"]), s, t, h, beta)


def along(x, i, matrix):
    """x times a matrix along dimension i."""
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, i)), 0, i)


def unfolded(x, i):
    return np.moveaxis(x, i, 0).reshape(x.shape[i], -1)


def shampoo(w, g, s, t, h):
    g = l2(w, g, h)
    u = g
    for i, n in enumerate(g.shape):
        if n <= h["max_precondition_dim"]:
            s[i] = s.get(i, h["eps"] * np.eye(n)) + unfolded(g, i) @ unfolded(g, i).T
            if (t - 1) % h["precondition_frequency"] == 0:
                values, vectors = np.linalg.eigh(s[i])
                s["root", i] = vectors @ np.diag(values ** (-1 / (2 * g.ndim))) @ vectors.T
            u = along(u, i, s["root", i])
    s["b"] = u if t == 1 else h["momentum"] * s["b"] + u
    return decayed(w, h) - h["lr"] * s["b"]


def soap(w, g, s, t, h):
    b1, b2 = h["betas"]
    b = b2 if h["shampoo_beta"] is None else h["shampoo_beta"]
    dims = [i for i, n in enumerate(g.shape) if g.ndim > 1 and n <= h["max_precondition_dim"]]
    new = w
    if t > 1:
        turned = g
        for i in dims:
            turned = along(turned, i, s["Q", i].T)
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * turned**2
        u = s["m"] / (1 - b1 ** (t - 1))
        for i in dims:
            u = along(u, i, s["Q", i].T)
        u = u / ((np.sqrt(s["v"]) + h["eps"]) / np.sqrt(1 - b2 ** (t - 1)))
        for i in dims:
            u = along(u, i, s["Q", i])
        new = decayed(w, h) - h["lr"] * u
    for i in dims:
        s["L", i] = b * s.get(("L", i), 0) + (1 - b) * unfolded(g, i) @ unfolded(g, i).T
        if t == 1:
            s["Q", i] = np.linalg.eigh(s["L", i])[1][:, ::-1]
        elif (t - 1) % h["precondition_frequency"] == 0:
            product = s["L", i] @ s["Q", i]
            order = np.argsort(-(s["Q", i] * product).sum(0))
            s["v"] = np.take(s["v"], order, axis=i)
            s["Q", i] = np.linalg.qr(product[:, order])[0]
    return new
