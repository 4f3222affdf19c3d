"""Writes Fixtures/elementwise.csv: values of the elementwise functions to 40 digits, computed with mpmath (PyPI).

Columns: function, argument (a hexadecimal Double), value (decimal). Run: python3 make_elementwise_table.py
"""
import random
from mpmath import (mp, mpf, exp, log, tanh, atan, sqrt, erf, erfc, sin, cos, tan, asin, acos, sinh, cosh, asinh, acosh,
                    atanh, pi, log1p, expm1, power)

mp.dps = 400  # far tails of 1 + e^x need digits
F = lambda x: mpf(float(x))
sig = lambda x: 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))
soft = lambda x: log(1 + exp(x)) if x < 0 else x + log(1 + exp(-x))
ALPHA, GAMMA = F(1.67326319217681884765625), F(1.05070102214813232421875)
everywhere = (-60.0, 60.0)
functions = {
    "Sigmoid": (sig, everywhere), "Tanh": (tanh, everywhere), "Atan": (atan, (-1e6, 1e6)),
    "Softsign": (lambda x: x / (1 + abs(x)), (-1e6, 1e6)), "Erf": (erf, (-30.0, 30.0)),
    "Exp": (exp, (-600.0, 600.0)), "Log": (log, (1e-300, 1e6)), "Sqrt": (sqrt, (0.0, 1e6)),
    "Reciprocal+": (lambda x: 1 / x, (1e-8, 1e6)), "Reciprocal-": (lambda x: 1 / x, (-1e6, -1e-8)),
    "Softplus": (soft, everywhere), "Pow3": (lambda x: x ** 3, (-1e6, 1e6)), "Pow4": (lambda x: x ** 4, (-1e6, 1e6)),
    "Pow1.7": (lambda x: power(x, F(1.7)), (0.0, 1e6)), "Pow0.3": (lambda x: power(x, F(0.3)), (1e-300, 1e6)),
    "Pow-2": (lambda x: power(x, -2), (1e-8, 1e6)), "Pow-3": (lambda x: power(x, -3), (-1e6, -1e-8)),
    "Pow-0.5": (lambda x: power(x, F(-0.5)), (1e-8, 1e6)),
    "Square": (lambda x: x * x, (-1e6, 1e6)), "Gelu": (lambda x: x * erfc(-x / sqrt(2)) / 2, (-36.0, 60.0)),
    "GeluTanh": (lambda x: x * sig(2 * sqrt(2 / pi) * (x + mpf("0.044715") * x ** 3)), (-20.0, 60.0)),
    "Silu": (lambda x: x * sig(x), everywhere), "Swish1.5": (lambda x: x * sig(F(1.5) * x), everywhere),
    "Swish-0.7": (lambda x: x * sig(F(-0.7) * x), everywhere),
    "Mish": (lambda x: x * tanh(soft(x)), everywhere),
    "HardSwish": (lambda x: x * max(mpf(0), min(mpf(1), x / 6 + mpf(1) / 2)), (-10.0, 10.0)),
    "Elu": (lambda x: x if x > 0 else expm1(x), everywhere),
    "Elu2": (lambda x: x if x > 0 else 2 * expm1(x), everywhere),
    "Celu0.3": (lambda x: max(mpf(0), x) + min(mpf(0), F(0.3) * expm1(x / F(0.3))), everywhere),
    "Selu": (lambda x: GAMMA * (x if x > 0 else ALPHA * expm1(x)), everywhere),
    "Sin": (sin, (-30.0, 30.0)), "Cos": (cos, (-30.0, 30.0)), "Tan": (tan, (-1.57, 1.57)),
    "Asin": (asin, (-1.0, 1.0)), "Acos": (acos, (-1.0, 1.0)), "Sinh": (sinh, everywhere), "Cosh": (cosh, everywhere),
    "Asinh": (asinh, (-1e6, 1e6)), "Acosh": (acosh, (1.0, 1e6)), "Atanh": (atanh, (-0.9999999, 0.9999999)),
    "HardSigmoid": (lambda x: max(mpf(0), min(mpf(1), F(0.2) * x + F(0.5))), (-10.0, 10.0)),
}
rng = random.Random(7)
with open("Fixtures/elementwise.csv", "w") as out:
    for name, (f, (low, high)) in functions.items():
        points = {low, high}
        for special in (0.0, 1.0, -1.0, 3.0, -3.0, 2.5, -2.5, 1e-9, -1e-9, 0.1, -0.1, 1e-160):
            if low <= special <= high:
                points.add(special)
        while len(points) < 44:
            kind = rng.random()
            x = rng.uniform(max(low, -4), min(high, 4)) if kind < 0.6 else rng.uniform(low, high)
            if kind > 0.9:
                x = rng.choice([-1, 1]) * 10 ** rng.uniform(-12, 1)
            if low <= x <= high:
                points.add(x)
        for x in sorted(points):
            if name.startswith("Pow-") and x == 0 or name.startswith("Reciprocal") and x == 0:
                continue
            out.write(f"{name},{x.hex()},{mp.nstr(f(F(x)), 40)}\n")
