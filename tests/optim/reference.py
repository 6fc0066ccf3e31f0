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
