"""Writes Fixtures/composites.csv: values of softmax, log-softmax and normalisations to 40 digits inside boxes, with mpmath.

A line: kind, case, then for every element `lower:upper:argument:value` (hexadecimal Doubles, the value decimal). Lines of
one case share the box. Run: python3 make_composite_table.py
"""
import random
from mpmath import mp, mpf, exp, log, sqrt

mp.dps = 400
rng = random.Random(5)


def softmax(x):
    top = max(x)
    e = [exp(v - top) for v in x]
    return [v / sum(e) for v in e]


def logsoftmax(x):
    top = max(x)
    s = log(sum(exp(v - top) for v in x))
    return [v - top - s for v in x]


def layer(x):
    m = sum(x) / len(x)
    v = sum((t - m) ** 2 for t in x) / len(x) + mpf(float(1e-5))
    return [(t - m) / sqrt(v) for t in x]


def rms(x):
    v = sum(t * t for t in x) / len(x) + mpf(float(1e-5))
    return [t / sqrt(v) for t in x]


kinds = {"Softmax": softmax, "LogSoftmax": logsoftmax, "LayerNormalization": layer, "RMSNormalization": rms}
case = 0
with open("Fixtures/composites.csv", "w") as out:
    for kind, f in kinds.items():
        for offset, spread, radius in [(0, 2, 1e-12), (0, 2, 1e-6), (0, 2, 0.1), (0, 3, 2), (1e6, 1, 1e-7), (1e9, 1, 1e-3),
                                       (-1e5, 10, 0.5), (0, 40, 5), (0, 300, 20), (0, 1e-3, 1e-4), (0, 5, 60)]:
            for n in (2, 5):
                case += 1
                center = [offset + rng.uniform(-spread, spread) for _ in range(n)]
                low = [c - rng.uniform(0, radius) for c in center]
                high = [c + rng.uniform(0, radius) for c in center]
                for k in range(6):
                    x = [rng.choice([a, b]) if k < 3 else rng.uniform(a, b) for a, b in zip(low, high)]
                    if k == 5:
                        x = [a / 2 + b / 2 for a, b in zip(low, high)]
                    x = [min(max(v, a), b) for v, a, b in zip(x, low, high)]
                    y = f([mpf(v) for v in x])
                    fields = [f"{a.hex()}:{b.hex()}:{v.hex()}:{mp.nstr(w, 40)}" for a, b, v, w in zip(low, high, x, y)]
                    out.write(",".join([kind, str(case)] + fields) + "\n")
