"""Random graphs against onnxruntime and against 300-bit arithmetic.

One case is one model and one point. It fails if
- `run` differs from onnxruntime where the exact value says that the point is well-conditioned,
- a value of 300-bit arithmetic, at the point or at another point of the region, lies outside `bounds`,
- a value that onnxruntime computes in float32 lies outside `bounds --arithmetic float32`, or `run` does,
- a NaN has a finite bound,
- the commands do anything but answer, refuse (exit 3) or call the file wrong (exit 2; onnxruntime must agree).
"""

import json
import os
import random
import subprocess
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
from mpmath import mp, mpf
from onnx import helper

import exact
import graphs

onnxruntime.set_default_logger_severity(4)
METHODS = ["ibp", "forward", "crown-ibp", "forward+crown", "crown", "best"]
REAL_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


class Finding(Exception):
    pass


def document(points):
    def number(v):
        return bool(v) if isinstance(v, (bool, np.bool_)) else int(v) if isinstance(v, np.integer) else float(v)

    return {"inputs": {k: {"shape": list(v.shape), "values": [number(e) for e in v.reshape(-1)]} for k, v in points.items()}}


def command(arguments, seconds=20):
    """Output document and exit status of one call; a crash or a hang is a finding."""
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=seconds, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        raise Finding(f"hangs: {' '.join(arguments)}")
    if done.returncode not in (0, 1, 2, 3):
        raise Finding(f"exit status {done.returncode}: {' '.join(arguments)}: {done.stderr[-300:]}")
    if done.returncode == 1:
        raise Finding(f"usage error: {' '.join(arguments)}: {done.stderr[-300:]}")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        if not lines:
            raise Finding(f"exit status {done.returncode} without a word: {' '.join(arguments)}")
        return None, done.returncode, lines[-1]
    return json.loads(done.stdout), 0, ""


def number(value):
    return float(value) if not isinstance(value, str) else {"inf": np.inf, "-inf": -np.inf, "nan": np.nan}[value]


def bounds_by_name(answer):
    return {
        o["name"]: ([number(v) for v in o["lower"]], [number(v) for v in o["upper"]]) for o in answer["outputs"]
    }


def outside(value, low, high):
    """Whether a value (mpf or float) lies outside [low, high]; a NaN needs an infinite bound."""
    if isinstance(value, mpf) and mp.isnan(value) or value != value:
        return np.isfinite(low) or np.isfinite(high)
    if isinstance(value, (bool, np.bool_)):
        value = int(value)
    if isinstance(value, (np.integer, np.floating)):
        value = value.item()
    value = mpf(value)
    if np.isnan(low) or np.isnan(high):
        return True
    # Below this the oracle's own digits end.
    grain = mpf(2) ** -250
    return value < mpf(low) - grain or value > mpf(high) + grain


def deployed(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def region_points(points, epsilon, rng, count):
    """Points of the ball whose coordinates are floats and exactly inside."""
    for k in range(count):
        moved = {}
        for name, x in points.items():
            steps = np.array([rng.choice([-1, 1]) if k % 2 == 0 else rng.randint(-8, 8) / 8 for _ in range(x.size)])
            y = (x.astype(np.float64) + (epsilon * steps).reshape(x.shape)).astype(x.dtype)
            inside = [abs(Fraction(float(p)) - Fraction(float(q))) <= Fraction(epsilon) for p, q in zip(y.reshape(-1), x.reshape(-1))]
            moved[name] = np.where(np.array(inside).reshape(x.shape), y, x)
        yield moved


def check(nnverify, model, points, folder, seed):
    """Raises `Finding` with the reason; returns how many comparisons were made."""
    rng = random.Random(f"{seed}/check")
    path, point = os.path.join(folder, "model.onnx"), os.path.join(folder, "point.json")
    onnx.save(model, path)
    with open(point, "w") as file:
        json.dump(document(points), file)
    names = [o.name for o in model.graph.output]
    comparisons = 0

    try:
        session = deployed(model)
        ran = session.run(None, points)
    except Exception:
        session = ran = None

    answer, status, message = command([nnverify, "run", path, "--input", point, "--json"])
    if status == 2 and ran is not None:
        raise Finding(f"called wrong, but onnxruntime runs it: {message}")
    evaluator = exact.Evaluator(model)
    try:
        truth = evaluator({k: exact.exact(v) for k, v in points.items()})
    except exact.Unsupported:
        truth = None

    if status == 0 and truth is not None and ran is not None:
        for name, shown, want, value in zip(names, answer["outputs"], ran, truth):
            got = np.array([number(v) for v in shown["values"]]).reshape(shown["shape"])
            if list(got.shape) != list(want.shape):
                raise Finding(f"run: shape {list(got.shape)} of {name}, onnxruntime {list(want.shape)}")
            ideal = np.array([float(v) for v in value.reshape(-1)]).reshape(want.shape)
            # Compared where both float32 runs could be expected to be near the real value.
            near = np.isfinite(ideal) & np.isclose(want.astype(np.float64), ideal, rtol=1e-4, atol=1e-6)
            if not np.allclose(got[near], ideal[near], rtol=1e-3, atol=1e-5):
                raise Finding(f"run: {name} is {got.tolist()}, onnxruntime says {want.tolist()}, exact {ideal.tolist()}")
            comparisons += int(near.sum())

    def compare(values, limits, what):
        count = 0
        for name, value in zip(names, values):
            low, high = limits[name]
            for k, v in enumerate(value.reshape(-1)):
                if outside(v, low[k], high[k]):
                    raise Finding(f"{what}: {name}[{k}] = {v} is outside [{low[k]!r}, {high[k]!r}]")
                count += 1
        return count

    for epsilon in (0.0, rng.choice([0.0625, 0.5, 2**-10])):
        method = rng.choice(METHODS)
        base = [nnverify, "bounds", path, str(epsilon), "--input", point, "--json", "--method", method, "--threads", "1"]
        answer, status, _ = command(base)
        where = [points] if epsilon == 0 else [points] + list(region_points(points, epsilon, rng, 3))
        if status == 0:
            limits = bounds_by_name(answer)
            for p in where:
                try:
                    value = evaluator({k: exact.exact(v) for k, v in p.items()})
                except exact.Unsupported:
                    continue
                comparisons += compare(value, limits, f"bounds {epsilon} --method {method}")
        answer, status, _ = command(base + ["--arithmetic", "float32"])
        if status == 0:
            limits = bounds_by_name(answer)
            if session is not None:
                for p in where:
                    comparisons += compare(session.run(None, p), limits, f"onnxruntime, bounds {epsilon} --method {method} --arithmetic float32")
            again, status, _ = command([nnverify, "run", path, "--input", point, "--json"])
            if status == 0:
                shown = [np.array([number(v) for v in o["values"]]) for o in again["outputs"]]
                comparisons += compare(shown, limits, f"run, bounds {epsilon} --method {method} --arithmetic float32")
    return comparisons


def shrunk(model, fails, rounds=3):
    """A smaller model that still fails: ends the graph at inner values and drops nodes that nothing needs."""
    best = model
    for _ in range(rounds):
        smaller = None
        try:
            inferred = onnx.shape_inference.infer_shapes(best)
        except Exception:
            return best
        infos = {v.name: v for v in inferred.graph.value_info}
        ends = [[o] for o in best.graph.output] if len(best.graph.output) > 1 else []
        ends += [[infos[n.output[0]]] for n in best.graph.node if n.output[0] in infos]
        for outputs in ends:
            needed, nodes = {o.name for o in outputs}, []
            for node in reversed(best.graph.node):
                if needed & set(node.output):
                    nodes.insert(0, node)
                    needed |= set(node.input)
            if len(nodes) >= len(best.graph.node) and len(outputs) >= len(best.graph.output):
                continue
            graph = helper.make_graph(
                nodes, "g", [i for i in best.graph.input], outputs, [t for t in best.graph.initializer if t.name in needed])
            candidate = helper.make_model(graph, opset_imports=best.opset_import, ir_version=best.ir_version)
            if fails(candidate):
                smaller = candidate
                break
        if smaller is None:
            return best
        best = smaller
    return best


def case(nnverify, seed, folder):
    style = "wild" if int(seed) % 3 == 0 else "tame"
    model = graphs.model(seed, style)
    points = graphs.inputs_of(model, seed)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:
        return 0, None
    try:
        return check(nnverify, model, points, folder, seed), None
    except Finding as found:
        first = str(found)

    def fails(candidate):
        try:
            check(nnverify, candidate, points, folder, seed)
        except Finding:
            return True
        except Exception:
            return False
        return False

    small = shrunk(model, fails)
    try:
        check(nnverify, small, points, folder, seed)
        reason = first
    except Finding as found:
        reason = str(found)
    finally:
        onnx.save(small, os.path.join(folder, "model.onnx"))
    return 0, reason
