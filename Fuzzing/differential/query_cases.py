"""Random piecewise-linear networks and queries against Z3.

`verify` (VNN-LIB 1.0, real arithmetic) and `smt` (region files) must agree with Z3's exact answer, `unknown` aside, which is
counted; every `holds` must also hold with a certificate that `check` accepts, and a certificate whose numbers were changed
must be rejected or still belong to a true claim.
"""

import json
import os
import random
from fractions import Fraction

import numpy as np
import onnx
import z3
from onnx import TensorProto, helper, numpy_helper

from graph_cases import Finding, command


def rational(value):
    value = Fraction(float(value))
    return z3.RealVal(f"{value.numerator}/{value.denominator}")


def network(rng):
    """A small network; returns the model, its layers for Z3 and the numbers of inputs and outputs."""
    n, m = rng.randint(1, 4), rng.randint(1, 3)
    draw = rng.choice([lambda: float(rng.randint(-3, 3)), lambda: rng.gauss(0, 1), lambda: rng.choice([0.1, -0.3, 1.0, 2.0, 0.5, -1.5])])
    layers, width = [], n
    for depth in range(rng.randint(1, 3)):
        last = width
        width = rng.randint(1, 5)
        weight = np.array([[draw() for _ in range(last)] for _ in range(width)], dtype=np.float32)
        bias = np.array([draw() for _ in range(width)], dtype=np.float32)
        layers.append((weight, bias, rng.choice(["Relu", "Relu", "Relu", "LeakyRelu", "Abs", "Max"])))
    weight = np.array([[draw() for _ in range(width)] for _ in range(m)], dtype=np.float32)
    layers.append((weight, np.array([draw() for _ in range(m)], dtype=np.float32), None))
    nodes, initializers, value = [], [], "X"
    for k, (w, b, kind) in enumerate(layers):
        initializers += [numpy_helper.from_array(w, f"w{k}"), numpy_helper.from_array(b, f"b{k}")]
        out = "Y" if kind is None else f"h{k}"
        nodes.append(helper.make_node("Gemm", [value, f"w{k}", f"b{k}"], [out], transB=1))
        value = out
        if kind == "Max":
            initializers.append(numpy_helper.from_array(np.array([0.25], dtype=np.float32), f"m{k}"))
            nodes.append(helper.make_node("Max", [value, f"m{k}"], [f"a{k}"]))
            value = f"a{k}"
        elif kind:
            nodes.append(helper.make_node(kind, [value], [f"a{k}"], **({"alpha": 0.25} if kind == "LeakyRelu" else {})))
            value = f"a{k}"
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, n])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, m])], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), layers, n, m


def encoded(layers, xs):
    values = xs
    for w, b, kind in layers:
        sums = [z3.Sum([rational(c) * v for c, v in zip(row, values)] + [rational(e)]) for row, e in zip(w, b)]
        if kind == "Relu":
            sums = [z3.If(s >= 0, s, z3.RealVal(0)) for s in sums]
        elif kind == "LeakyRelu":
            sums = [z3.If(s >= 0, s, s / 4) for s in sums]
        elif kind == "Abs":
            sums = [z3.If(s >= 0, s, -s) for s in sums]
        elif kind == "Max":
            sums = [z3.If(s >= z3.RealVal("1/4"), s, z3.RealVal("1/4")) for s in sums]
        values = sums
    return values


def decimal(rng):
    return rng.choice([str(rng.randint(-4, 4)), f"{rng.gauss(0, 2):.3f}", f"{rng.gauss(0, 2):.1f}", "0.1", "0.3", "-0.7"])


def forward(layers, x):
    """The exact values at a point of fractions."""
    for w, b, kind in layers:
        x = [sum(Fraction(float(c)) * v for c, v in zip(row, x)) + Fraction(float(e)) for row, e in zip(w, b)]
        apply = {"Relu": lambda s: max(s, Fraction(0)), "LeakyRelu": lambda s: s if s >= 0 else s / 4, "Abs": abs,
                 "Max": lambda s: max(s, Fraction(1, 4)), None: lambda s: s}[kind]
        x = [apply(s) for s in x]
    return x


def case(nnverify, seed, folder):
    rng = random.Random(f"{seed}/query")
    model, layers, n, m = network(rng)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    box = []
    for _ in range(n):
        a = Fraction(decimal(rng))
        width = rng.choice([Fraction(0), Fraction(1, 10), Fraction(1), Fraction(2)]) if rng.random() < 0.9 else Fraction(1, 10**6)
        box.append((a, a + width))
    inner = [a + (b - a) * Fraction(rng.randint(0, 8), 8) for a, b in box]
    middle = forward(layers, inner)
    clauses = []
    for _ in range(rng.randint(1, 3)):
        rows = []
        for _ in range(rng.randint(1, 2)):
            i = rng.randrange(m)
            j = rng.choice([None] + [k for k in range(m) if k != i])
            # Thresholds near attained values make ties and thin margins.
            near = middle[i] + Fraction(rng.choice([0, 0, 1, -1, 10, -10]), rng.choice([1, 10, 10**6]))
            rows.append((i, j, rng.choice(["<=", ">="]), near if j is None else None))
        clauses.append(rows)

    def text(value):
        # Decimals only; thresholds without a finite decimal are rounded, and the rounded one is what counts.
        return f"{float(value):.17g}" if abs(value) >= 1e-5 or value == 0 else f"{float(value):.20f}"

    clauses = [[(i, j, s, None if c is None else Fraction(text(c))) for i, j, s, c in rows] for rows in clauses]

    # Z3.
    xs = [z3.Real(f"x{k}") for k in range(n)]
    solver = z3.Solver()
    solver.set("timeout", 5000)
    for v, (a, b) in zip(xs, box):
        solver.add(v >= z3.RealVal(str(a)), v <= z3.RealVal(str(b)))
    ys = encoded(layers, xs)

    def row(i, j, sign, bound):
        right = ys[j] if j is not None else z3.RealVal(str(bound))
        return ys[i] <= right if sign == "<=" else ys[i] >= right

    solver.add(z3.Or([z3.And([row(*r) for r in rows]) for rows in clauses]))
    truth = str(solver.check())

    # VNN-LIB 1.0.
    lines = [f"(declare-const X_{k} Real)" for k in range(n)] + [f"(declare-const Y_{k} Real)" for k in range(m)]
    ends = [(f"{float(a):.9f}", f"{float(b):.9f}") for a, b in box]
    assert all(Fraction(e) == v for pair, values in zip(ends, box) for e, v in zip(pair, values))
    for k, (a, b) in enumerate(ends):
        lines += [f"(assert (>= X_{k} {a}))", f"(assert (<= X_{k} {b}))"]
    written = [" ".join(f"({s} Y_{i} {f'Y_{j}' if j is not None else text(c)})" for i, j, s, c in rows) for rows in clauses]
    lines.append("(assert (or " + " ".join(f"(and {w})" for w in written) + "))")
    query = os.path.join(folder, "query.vnnlib")
    with open(query, "w") as file:
        file.write("\n".join(lines) + "\n")
    path = os.path.join(folder, "model.onnx")
    comparisons = 0
    try:
        answer, status, message = command([nnverify, "verify", query, "--network", path, "--timeout", "10", "--json"], 30)
        if status:
            raise Finding(f"verify: exit {status}: {message}")
        verdict = answer["verdict"]
        if verdict in ("sat", "unsat") and truth in ("sat", "unsat") and verdict != truth:
            raise Finding(f"verify says {verdict}, Z3 {truth}")
        if verdict == "unknown" and all(a == b for a, b in box):
            raise Finding(f"verify: unknown for a point, Z3 {truth}")
        comparisons += 1

        region = {"id": "r", "network": "model.onnx", "region": {"lower": [str(a) for a, _ in box], "upper": [str(b) for _, b in box]},
                  "violation": [[{"coeffs": ({str(i): "1", str(j): "-1"} if j is not None else {str(i): "1"}), "op": s,
                                  "rhs": "0" if j is not None else str(c)} for i, j, s, c in rows] for rows in clauses]}
        where = os.path.join(folder, "region.json")
        with open(where, "w") as file:
            json.dump(region, file)
        proof = os.path.join(folder, "claim.proof")
        answer, status, message = command([nnverify, "smt", where, "--timeout", "10", "--json"], 30)
        if status:
            raise Finding(f"smt: exit {status}: {message}")
        verdict = answer["verdict"]
        expected = {"sat": "violated", "unsat": "holds"}.get(truth)
        if verdict in ("holds", "violated") and expected and verdict != expected:
            raise Finding(f"smt says {verdict}, Z3 {truth}")
        comparisons += 1
        if verdict == "holds":
            proven, status, message = command([nnverify, "smt", where, "--timeout", "20", "--proof", proof, "--json"], 40)
            if status or proven["verdict"] != "holds":
                raise Finding(f"smt --proof: {proven['verdict'] if proven else message} where smt says holds")
            checked, status, message = command([nnverify, "check", "--proof", proof, "--region", where, "--json"], 30)
            if status or not (checked.get("valid") or checked.get("result") == "valid"):
                raise Finding(f"check rejects the solver's own certificate: {checked or message}")
            comparisons += 1
            # The same certificate for a false claim: the threshold moved past an attained value.
            false = json.loads(json.dumps(region))
            moved = [r for rows in false["violation"] for r in rows]
            for r in moved:
                r["op"], r["rhs"] = r["op"], str(Fraction(r["rhs"]) + (10**6 if r["op"] == "<=" else -(10**6)))
            lie = os.path.join(folder, "false.json")
            with open(lie, "w") as file:
                json.dump(false, file)
            with open(proof) as file:
                honest = file.read()
            checked, status, _ = command([nnverify, "check", "--proof", proof, "--region", lie, "--json"], 30)
            if status == 0 and (checked.get("valid") or checked.get("result") == "valid"):
                raise Finding("check accepts the certificate of another claim")
    except Finding as found:
        return comparisons, str(found)
    return comparisons, None
