"""A second implementation of docs/exact.md, in plain numpy: slow, short, by the letter, and of nothing of regrow's."""

from __future__ import annotations

import hashlib
from collections import Counter
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from itertools import takewhile
from math import isqrt, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
LN2, LOG2_E, GAMMA = 45426, 94548, 0x9E3779B97F4A7C15
EXP2 = np.rint(2.0 ** (22 - np.arange(1024) / 1024)).astype(np.int64)
LOG2 = np.rint(2.0**16 * np.log2(1 + np.arange(257) / 256)).astype(np.int64)
TANH = np.rint(2.0**15 * np.tanh(np.arange(1025) / 128)).astype(np.int64)
COS = np.rint(2.0**14 * np.cos(2 * np.pi * np.arange(1025) / 1024)).astype(np.int64)
PI = Decimal("3.14159265358979323846264338327950288419716939937510")


def turns(rope_dims: int) -> NDArray[np.uint64]:
    with localcontext() as context:
        context.prec = 60
        log = Decimal(10000).ln()
        exact = [
            (-log * 2 * i / rope_dims).exp() / (2 * PI) * Decimal(1 << 64) for i in range(rope_dims // 2)
        ]
        return np.array([int(x.to_integral_value(ROUND_FLOOR)) for x in exact], np.uint64)


def bits(x: Any) -> Ints:
    return np.vectorize(lambda n: int(n).bit_length(), otypes=[np.int64])(x)


def root(x: Any) -> Ints:
    return np.vectorize(lambda n: isqrt(int(n)), otypes=[np.int64])(x)


def rounded(x: Any, s: Any) -> Ints:
    half = np.where(np.asarray(s) > 0, np.int64(1) << np.maximum(np.asarray(s) - 1, 0), 0)
    return (np.asarray(x, np.int64) + half) >> s


def exp2(y: Ints) -> Ints:
    return EXP2[y & 1023] >> np.minimum(y >> 10, 31)


def log2(n: Any) -> Ints:
    n = np.asarray(n, np.int64)
    k = bits(n) - 1
    x = np.where(k > 31, n >> np.maximum(k - 31, 0), n << np.maximum(31 - k, 0))
    i, r = (x >> 23) & 255, x & ((1 << 23) - 1)
    return (k << 16) + LOG2[i] + rounded((LOG2[i + 1] - LOG2[i]) * r, 23)


def tanh(t: Ints) -> Ints:
    a = np.minimum(np.abs(t), (1 << 19) - 1)
    i = a >> 9
    y = TANH[i] + rounded((TANH[i + 1] - TANH[i]) * (a & 511), 9)
    return np.where(t < 0, -y, y)


def cos(a: NDArray[np.uint64]) -> Ints:
    i, r = (a >> np.uint64(54)).astype(np.int64), ((a >> np.uint64(38)) & np.uint64(65535)).astype(np.int64)
    return COS[i] + rounded((COS[i + 1] - COS[i]) * r, 16)


def quantise(z: Ints, top: Any = None) -> tuple[Ints, Ints, Ints]:
    """q, m and s of the last axis."""
    top = np.abs(z).max(-1, keepdims=True) if top is None else top
    s = np.maximum(bits(top) - 15, 0)
    m = rounded(top, s)
    f = (127 << 22) // np.maximum(m, 1)
    return rounded(rounded(z, s) * f, 22), m, s


def state(w: Weights, x: Ints) -> Ints:
    """q of a state."""
    if w.version < 2:
        return quantise(x)[0]
    four = np.arange(x.shape[1]) // 4 == np.abs(x).argmax(1)[:, None] // 4
    peak, others = (np.abs(part).max(1, keepdims=True) for part in (x, np.where(four, 1, x)))
    return quantise(x, np.maximum(others, (peak + 127) >> 7))[0]


def squares(q: Ints) -> Ints:
    return np.maximum((q * q).sum(-1, keepdims=True), 1)


class Matrix(NamedTuple):
    q: Ints
    mult: Ints
    e: int


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def words(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    state = mixed(np.array([(seed + (stream + 1) * GAMMA) % 2**64], np.uint64))
    return mixed(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GAMMA) + state)


def base(seed: int, rows: int, cols: int) -> tuple[Ints, int]:
    """The base's integers, and block^rounds."""
    N, count, rounds = max(rows, cols), min(rows, cols), 3
    block = N & -N
    while block**rounds < 64 * N:
        rounds += 1
    x = np.eye(N, count, dtype=np.int64)
    for i in range(rounds):
        order = np.argsort(words(seed, 2 * i + 1, N), kind="stable")
        x = (x * np.where(words(seed, 2 * i, N) >> np.uint64(63), -1, 1)[:, None])[order]
        half = 1
        while half < block:
            y = x.reshape(-1, 2, half * count)
            x = np.stack([y[:, 0] + y[:, 1], y[:, 0] - y[:, 1]], 1).reshape(N, count)
            half *= 2
    return (x.T if rows <= cols else x), block**rounds


def shapes(c: Any, V: int) -> dict[str, tuple[int, ...]]:
    """Every trained parameter, in the order of their names."""
    found: dict[str, tuple[int, ...]] = {"embedding": (V, c.d_model)}
    found |= {} if c.tied else {"input_embedding": (V, c.d_model)}
    found |= {"memory_gain": (1,)} if c.memory_input else {}
    found |= {"recent_gain": (3 * c.d_model,)} if c.recent_input else {}
    for layer in range(c.n_layer):
        block = f"blocks.{layer}."
        found |= {block + "q_gain": (c.n_head, 1)}
        found |= dict.fromkeys((block + "attention_gain", block + "mlp_gain"), (c.d_model,))
        for name, (rows, cols) in matrix_shapes(c).items():
            if c.seeded == "none" or (c.seeded == "mlp" and name not in ("up", "down")):
                found[f"{block}{name}.dense"] = rows, cols
            elif c.r:
                found |= {f"{block}{name}.lora_a": (c.r, cols), f"{block}{name}.lora_b": (rows, c.r)}
    return dict(sorted(found.items()))


def matrix_shapes(c: Any) -> dict[str, tuple[int, int]]:
    D, KV = c.d_model, c.n_kv_head * (c.d_model // c.n_head)
    F = max(64, round(D * c.mlp_ratio / 64) * 64)
    return {"q": (D, D), "k": (KV, D), "v": (KV, D), "out": (D, D), "up": (F, D), "down": (D, F)}


def multipliers(steps: list[Fraction]) -> tuple[Ints, int]:
    def at(e: int) -> list[int]:
        return [(2 * s * 2**e + 1).__floor__() // 2 for s in steps]

    e = next(e for e in range(60, 11, -1) if max(at(e)) <= (1 << 15) - 1)
    return np.array(at(e), np.int64), e


def matrix(weights: Any, config: Any, layer: int, name: str, shape: tuple[int, int], seed: int) -> Matrix:
    full = f"blocks.{layer}.{name}"
    gain = {"out": "attention_gain", "down": "mlp_gain"}.get(name)
    g = None if gain is None else weights[f"blocks.{layer}.{gain}"].q
    if f"{full}.dense" in weights:
        w = weights[f"{full}.dense"]
        q, d = w.q, [int(s) << 8 for s in w.step_R]
        if g is not None:
            q = q * np.where(g < 0, -1, 1)[:, None]
            d = [x * abs(int(y)) >> 24 for x, y in zip(d, g, strict=True)]
    else:
        derived = sha256(seed.to_bytes(8, "little") + f"layers.{layer}.{name}".encode())
        B, paths = base(int.from_bytes(derived[:8], "little"), *shape)
        scale = float(np.float32(config.base_gain / sqrt(paths)))
        c, power = scale.as_integer_ratio()
        t = power.bit_length() - 1
        M = rounded(B * c, t - 32) if t >= 32 else B * c << (32 - t)
        if f"{full}.lora_a" in weights:
            a, b = weights[f"{full}.lora_a"], weights[f"{full}.lora_b"]
            M = M + rounded((b.q @ (a.q * a.step_R[:, None])) * b.step_R[:, None], 16)
        if g is not None:
            M = rounded(M * g[:, None], 24)
        step = np.maximum((np.abs(M).max(1) + 126) // 127, 1)
        q, d = (2 * M + step[:, None]) // (2 * step[:, None]), step.tolist()
    levels = {"out": 127 * 127, "down": 255}.get(name, 1)
    return Matrix(q, *multipliers([Fraction(x, levels << 32) for x in d]))


class Weights(NamedTuple):
    """Everything the network's operations need; blocks[layer][name]."""

    config: Any
    blocks: list[dict[str, Matrix]]
    gains: list[Ints]
    head: Matrix
    step: Ints
    own: Any
    gain: int
    recent: Ints
    cap: int
    mixer: dict[str, Ints]
    version: int


def read(stored: Any, mixer: bytes, config: Any, seed: int, version: int) -> Weights:
    c = config.model
    E = c.d_model // c.n_head
    blocks = [
        {n: matrix(stored, c, layer, n, shape, seed) for n, shape in matrix_shapes(c).items()}
        for layer in range(c.n_layer)
    ]
    nats = [stored[f"blocks.{i}.q_gain"].q.reshape(-1) * isqrt(E << 32) for i in range(c.n_layer)]
    gains = [(np.clip(n, -(60 << 40), 60 << 40) * LOG2_E + (1 << 43)) >> 44 for n in nats]
    embedding = stored["embedding"]
    factor = 1 / Fraction(c.softcap) if c.softcap else Fraction(LOG2_E, 1 << 16)
    steps = [Fraction(int(s), 1 << 24) * factor for s in embedding.step_R]
    cap = int((Fraction(c.softcap) * LOG2_E / 64 + Fraction(1, 2)) // 1)
    flat = np.floor(np.frombuffer(mixer, "<f4").astype(np.float64) * 65536 + 0.5).astype(np.int64)
    parts = {"exponents": flat[:2]}
    if config.mixer.kind == "gate":
        parts |= {"gate_bias": flat[2:26], "gate_in": flat[26:578].reshape(24, 23)}
        parts["gate_out"] = flat[578:].reshape(2, 24)
    head, gain = Matrix(embedding.q, *multipliers(steps)), stored["memory_gain"].q[0] if c.memory_input else 0
    recent = stored["recent_gain"].q.reshape(3, -1) if c.recent_input else np.zeros((3, 1), np.int64)
    own = embedding if c.tied else stored["input_embedding"]
    return Weights(config, blocks, gains, head, embedding.step_R, own, int(gain), recent, cap, parts, version)


def product(m: Matrix, q: Ints) -> Ints:
    return ((q @ m.q.T) * m.mult) >> 12


def add(x: Ints, m: Matrix, activation: Ints, mantissa: Ints, s: Ints) -> Ints:
    t = np.clip(s, 1, 62)
    y = ((activation @ m.q.T) * (m.mult * mantissa) + (np.int64(1) << (t - 1))) >> t
    return np.clip(x + np.clip(y, -(1 << 30), 1 << 30), -(1 << 30), 1 << 30)


def heads_of(z: Ints, count: int, cosines: Ints, sines: Ints) -> tuple[Ints, Ints]:
    """Queries or keys [T, count, E] and the inverse norm of each [T, count, 1]."""
    z = z.reshape(len(z), count, -1)
    s = np.maximum(bits(np.abs(z).max(-1, keepdims=True)) - 15, 0)
    z, pairs = rounded(z, s), cosines.shape[1]
    a, b, c, d = z[..., :pairs], z[..., pairs : 2 * pairs], cosines[:, None], sines[:, None]
    turned = ((a * c - b * d + 8192) >> 14, (a * d + b * c + 8192) >> 14, z[..., 2 * pairs :])
    q, _, _ = quantise(np.concatenate(turned, -1))
    return q, root((1 << 48) // squares(q))


def attention(w: Weights, layer: int, q: Ints, norm: Ints, window: int, angles: Any) -> Ints:
    """The heads' outputs [T, D]."""
    c, block, T = w.config.model, w.blocks[layer], len(q)
    H, K = c.n_head, c.n_kv_head
    z = {n: product(block[n], q) for n in ("q", "k", "v")}
    queries, inverse_q = heads_of(z["q"], H, *angles)
    keys, inverse_k = heads_of(z["k"], K, *angles)
    values = z["v"].reshape(T, K, -1)
    top = np.abs(values).max(-1)
    vscale = np.minimum((top * norm) >> (block["v"].e - 8), (1 << 24) - 1)
    values, _, _ = quantise(values)
    scale = (inverse_q[..., 0] * w.gains[layer]) >> 10
    i = np.arange(T)
    seen = (i[None] <= i[:, None]) & (i[None] > i[:, None] - window)
    out = []
    for h in range(H):
        k = h // (H // K)
        dots = queries[:, h] @ keys[:, k].T
        scores = rounded(dots * inverse_k[:, k, 0] * scale[:, h, None], 40)
        best = np.where(seen, scores, -(1 << 40)).max(1, keepdims=True)
        weights = np.where(seen, exp2(np.where(seen, best - scores, 0)), 0)
        t = weights * vscale[:, k]
        s = np.maximum(bits(t.max(1, keepdims=True)) - 16, 0)
        f = (np.int64(1) << (s + 30)) // weights.sum(1, keepdims=True)
        out.append((((t >> s) @ values[:, k]) * f) >> 14)
    return np.concatenate(out, 1)


def followed(c: Any, inputs: list[int]) -> list[list[int]]:
    """What followed earlier ones of the last token, of the last two, of the last three."""
    now, bos_id = len(inputs) - 1, inputs[0]
    found: list[list[int]] = [[], [], []]
    for j in range(now - 1, max(0, now - c.recent_reach) - 1, -1):
        n = 0
        while n < 3 and j - n >= max(0, now - c.recent_reach) and inputs[j - n] == inputs[now - n] != bos_id:
            n += 1
        if n and len(found[n - 1]) < c.recent_input:
            found[n - 1].append(inputs[j + 1])
    return found


def first_states(w: Weights, inputs: list[int], said: list[Any], first: int) -> Ints:
    c, tokens = w.config.model, np.array(inputs[first:])
    D, q, count = c.d_model, w.own.q[tokens], c.memory_input
    if not count and not c.recent_input:
        return (q * root((D << 40) // squares(q)) + 8) >> 4
    y = q * (w.own.step_R[tokens, None] << 15)
    for i, (m, _) in enumerate(said):
        for v in np.argsort(-m, kind="stable")[:count]:
            y[i] += w.head.q[v] * w.step[v] * ((w.gain * (exp2(-m[v]) >> 7) + (1 << 23)) >> 24)
    for i in range(len(y) if c.recent_input else 0):
        for gain, group in zip(w.recent, followed(c, inputs[: first + i + 1]), strict=True):
            total = sum((w.head.q[v] * w.step[v] for v in group), np.zeros(D, np.int64))
            share = ((1 << 15) + len(group) // 2) // max(len(group), 1)
            y[i] += total * ((gain * share + (1 << 23)) >> 24)
    z = rounded(y, np.maximum(bits(np.abs(y).max(-1, keepdims=True)) - 15, 0))
    return (z * root((D << 48) // squares(z)) + 128) >> 8


def final_states(w: Weights, inputs: list[int], said: list[Any], first: int = 0) -> tuple[Ints, Ints]:
    """Of the inputs from `first` on, and what the memory says after each of these."""
    c, D, window = w.config.model, w.config.model.d_model, w.config.model.window or w.config.train.seq_len
    x = first_states(w, inputs, said, first)
    angle = np.arange(first, len(inputs), dtype=np.uint64)[:, None] * turns(c.rope_dims)
    angles = cos(angle), cos(angle - np.uint64(1 << 62))
    for layer, block in enumerate(w.blocks):
        q = state(w, x)
        o = attention(w, layer, q, root((D << 40) // squares(q)), window, angles)
        q, m, s = quantise(o)
        x = add(x, block["out"], q, m, block["out"].e + 16 - s)
        q = state(w, x)
        u = product(block["up"], q)
        a = np.where(u >= 0, u, (-u) >> 1)
        top = a.max(-1, keepdims=True)
        s = np.maximum(bits(top) - 15, 0)
        square = (rounded(a, s) ** 2 + 16384) >> 15
        b = (rounded(top, s) ** 2 + 16384) >> 15
        hidden = rounded(square * ((255 << 22) // np.maximum(b, 1)), 22)
        scale = b * ((D << 24) // squares(q))
        k = np.maximum(bits(scale) - 16, 0)
        x = add(x, block["down"], hidden, scale >> k, block["down"].e + 2 * block["up"].e - 31 - 2 * s - k)
    q = state(w, x)
    return q, root((D << 40) // squares(q))


def logits_of(w: Weights, q: Ints, norm: Ints) -> Ints:
    capped = w.config.model.softcap > 0
    t = rounded(product(w.head, q) * norm, w.head.e + (-8 if capped else -2))
    return rounded(tanh(t) * w.cap, 15) if capped else np.clip(t, -65535, 65535)


def logp(p: NDArray[np.float32]) -> Ints:
    pattern = np.atleast_1d(np.asarray(p, np.float32)).view(np.int32).astype(np.int64)
    exponent, mantissa = pattern >> 23, pattern & ((1 << 23) - 1)
    mantissa = np.where(exponent > 0, mantissa | (1 << 23), mantissa)
    whole = log2(np.maximum(mantissa, 1)) + ((np.maximum(exponent, 1) - 150) << 16)
    return np.where(pattern == 0, -65535, np.maximum(rounded(whole, 6), -65535))


class KneserNey:
    """The memory of a text: gamma, total, tokens and masses of every context, and the unigrams."""

    def __init__(self, tokens: list[int], order: int, V: int, discounts: Any, bos: int) -> None:
        self.order, self.vocab_size = order, V
        counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        context: tuple[int, ...] = ()
        for token in tokens:
            if token == bos:
                context = (bos,)[: order - 1]
                continue
            counts[len(context)][(*context, token)] += 1
            context = (*context, token)[-(order - 1) :] if order > 1 else ()
        for n in range(order - 1, 0, -1):
            counts[n - 1].update(gram[1:] for gram in counts[n])
        D = [np.array((0.0, *of_order)) for of_order in discounts]
        self.contexts: dict[tuple[int, ...], tuple[np.float32, int, list[int], NDArray[np.float32]]] = {}
        for n in range(1, order):
            grouped: dict[tuple[int, ...], list[tuple[int, int]]] = {}
            for gram in sorted(counts[n]):
                grouped.setdefault(gram[:-1], []).append((gram[-1], counts[n][gram]))
            for key, pairs in grouped.items():
                tokens_N, c_N = np.array(pairs).T
                D_N, total = D[n][np.minimum(c_N, len(D[n]) - 1)], int(c_N.sum())
                masses, gamma = (c_N - D_N) * (1.0 / total), np.cumsum(D_N)[-1] * (1.0 / total)
                self.contexts[key] = np.float32(gamma), total, tokens_N, masses.astype(np.float32)
        c_V = np.array([counts[0][(v,)] for v in range(V)])
        taken_V, total = D[0][np.minimum(c_V, len(D[0]) - 1)], int(c_V.sum())
        self.unigram_V = (c_V - taken_V) / total + taken_V.sum() / total / V


def memory_row(memory: Any, context: list[int]) -> Any:
    """m [V] after a context, and order, total, distinct and escape; None without a memory."""
    if memory is None:
        return None
    if not isinstance(memory, KneserNey):
        rows = memory.rows(np.array([context], np.int32))
        facts = rows.matched_order_R[0], rows.context_total_R[0], rows.distinct_R[0], rows.escape_R[0]
        return logp(rows.probs_RV[0]), facts
    ends = [tuple(context[-n:]) for n in range(1, min(memory.order, len(context) + 1))]
    path = [memory.contexts[end] for end in takewhile(memory.contexts.__contains__, ends)]
    base, above = memory.unigram_V, path
    if path and memory.vocab_size <= 4096:
        (gamma, _, tokens, masses), above = path[0], path[1:]
        base = base * np.float64(gamma)
        base[tokens] += masses.astype(np.float64)
    base, left = base.astype(np.float32), 1.0
    for gamma, *_ in above:
        left *= float(gamma)
    weight = np.float32(max(left, 1e-20))
    m = np.maximum(np.maximum(logp(base), -32768) + logp(weight), -65535)
    p, met, outer = base * weight, np.zeros(len(base), bool), 1.0
    for gamma, _, tokens, masses in above[::-1]:
        p[tokens] += masses * np.float32(outer)
        met[tokens] = True
        outer *= float(gamma)
    m = np.where(met, logp(p), m)
    if not path:
        return m, (1, 0, 0, 1.0)
    gamma, total, tokens, _ = path[-1]
    return m, (len(path) + 1, min(total, 65535), len(tokens), float(gamma))


def exponents(w: Weights, net: Ints, m: Ints, known: tuple[int, int, int, float]) -> list[int]:
    x = (w.mixer["exponents"] << 15).tolist()
    if "gate_in" in w.mixer:
        order, total, distinct, escape = known
        v, u = int(net.argmax()), int(m.argmax())
        rest = int(rounded(log2(exp2(net[v] - net).sum()) - (22 << 16), 6))
        facts = [(int(log2(1 + total)) * LN2) >> 19, (int(log2(1 + distinct)) * LN2) >> 18]
        facts.append(int(np.floor(np.float64(escape) * 65536)))
        facts += [int(b) * LN2 >> 12 for b in (-rest, m[u], net[u] - net[v] - rest, m[v])]
        for j in range(24):
            row = w.mixer["gate_in"][j].tolist()
            whole = (row[order - 1] << 16) + sum(row[16 + c] * facts[c] for c in range(7))
            h = int(tanh(np.array((whole >> 16) + int(w.mixer["gate_bias"][j]))))
            x = [x[i] + h * int(w.mixer["gate_out"][i, j]) for i in range(2)]
    return [min(max(((v >> 15) + 8) >> 4, -16383), 16383) for v in x]


def starts(w: Weights, net: Ints, said: Any) -> Ints:
    """Where each token's interval of 2^24 begins, and 2^24: [V + 1]."""
    y = net
    if said is not None:
        m, known = said
        a, b = exponents(w, net, m, known)
        y = (a * net + b * m + 2048) >> 12
    before = np.concatenate(([0], np.cumsum(exp2(y.max() - y))))
    V = len(y)
    return np.arange(V + 1) + before * ((1 << 24) - V) // before[-1]


def rows(w: Weights, memory: Any, tokens: list[int], bos_id: int) -> list[Ints]:
    """`starts` of every token of one stream."""
    inputs = [bos_id, *tokens[:-1]]
    said = [memory_row(memory, inputs[: i + 1]) for i in range(len(tokens))]
    logits = logits_of(w, *final_states(w, inputs, said))
    return [starts(w, *of_token) for of_token in zip(logits, said, strict=True)]


def next_row(w: Weights, memory: Any, inputs: list[int]) -> Ints:
    """`starts` of the token after these, BOS the first of them: from as many as can reach it."""
    window = w.config.model.window or w.config.train.seq_len
    first = max(0, len(inputs) - 1 - w.config.model.n_layer * (window - 1))
    since = first if w.config.model.memory_input else len(inputs) - 1
    said = [memory_row(memory, inputs[: i + 1]) for i in range(since, len(inputs))]
    q, norm = final_states(w, inputs, said, first)
    return starts(w, logits_of(w, q[-1:], norm[-1:])[0], said[-1])
