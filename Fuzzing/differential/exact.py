"""ONNX graphs over the real numbers, in 300-bit arithmetic.

The oracle of the differential fuzzer: it shares nothing with the project. Values are NumPy arrays of `mpf` (floating-point
tensors), `int` (integer tensors, wrapped to their type) and `bool`. Weights are the numbers that the file stores; float
attributes are the shortest decimals that round to them, as docs/guides/importing.md says. A value that no real number has
(0 / 0, the logarithm of a negative number) is NaN and spreads.
"""

import math

import numpy as np
import onnx
from mpmath import mp, mpf
from onnx import helper, numpy_helper

mp.prec = 300
NAN = mp.nan


class Unsupported(Exception):
    """An operator or attribute that this oracle does not know."""


INTEGERS = {
    onnx.TensorProto.INT8: (8, True), onnx.TensorProto.INT16: (16, True), onnx.TensorProto.INT32: (32, True),
    onnx.TensorProto.INT64: (64, True), onnx.TensorProto.UINT8: (8, False), onnx.TensorProto.UINT16: (16, False),
    onnx.TensorProto.UINT32: (32, False), onnx.TensorProto.UINT64: (64, False),
}
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16}


def wrap(value, kind):
    bits, signed = INTEGERS[kind]
    value = int(value) & ((1 << bits) - 1)
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def objects(values, shape):
    out = np.empty(shape, dtype=object)
    flat = out.reshape(-1)
    for i, v in enumerate(values):
        flat[i] = v
    return out


def root(stored):
    """The irrational factor that a scalar float32 constant stands for, or None (docs/guides/importing.md)."""
    size = abs(float(stored))
    if not 1 / 64 < size < 64:
        return None
    sign = -1 if stored < 0 else 1
    if np.float32(math.sqrt(2 / math.pi)) == np.float32(size):
        return sign * mpf(float(mp.sqrt(2 / mp.pi)))
    for n, invert in ((round(size * size), False), (round(1 / (size * size)), True)):
        if 2 <= n <= 4096 and math.isqrt(n) ** 2 != n:
            value = 1 / mp.sqrt(n) if invert else mp.sqrt(n)
            if np.float32(float(value)) == np.float32(size):
                return sign * mpf(float(value))
    return None


def exact(array):
    """The exact values of a NumPy array."""
    if array.dtype == bool:
        return array.astype(object)
    if array.dtype.kind in "iu":
        return objects([int(v) for v in array.reshape(-1)], array.shape)
    return objects([mpf(float(v)) for v in array.reshape(-1)], array.shape)


def decimal(stored):
    """A float attribute as the decimal that its author wrote, in float64."""
    return mpf(float(str(np.float32(stored))))


class Attributes:
    def __init__(self, node):
        self.values = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def float(self, name, default):
        """An attribute, or the standard's default, which is a decimal as it stands."""
        return decimal(self.values[name]) if name in self.values else mpf(float(default))

    def __call__(self, name, default=None):
        value = self.values.get(name, default)
        return value.decode() if isinstance(value, bytes) else value


def each(function):
    def apply(x, *others):
        arrays = np.broadcast_arrays(*((x,) + others))
        return objects([function(*vs) for vs in zip(*(a.reshape(-1) for a in arrays))], arrays[0].shape)

    return apply


def nan_aware(function):
    def guarded(*values):
        if any(isinstance(v, mpf) and mp.isnan(v) for v in values):
            return NAN
        try:
            result = function(*values)
        except (ValueError, ZeroDivisionError, OverflowError):
            return NAN
        return NAN if isinstance(result, mp.mpc) else result

    return each(guarded)


def sigmoid(x):
    return 1 / (1 + mp.exp(-x)) if x >= 0 else mp.exp(x) / (1 + mp.exp(x))


def half_even(x):
    floor = mp.floor(x)
    rest = x - floor
    if rest > mpf(1) / 2 or (rest == mpf(1) / 2 and int(floor) % 2):
        return floor + 1
    return floor


def gelu(x):
    return x * (1 + mp.erf(x / mp.sqrt(2))) / 2


def gelu_tanh(x):
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3))) / 2


SIMPLE = {
    "Abs": abs, "Neg": lambda x: -x, "Exp": mp.exp, "Log": lambda x: mp.log(x) if x > 0 else (-mp.inf if x == 0 else NAN),
    "Sqrt": lambda x: mp.sqrt(x) if x >= 0 else NAN, "Reciprocal": lambda x: 1 / x, "Sigmoid": sigmoid, "Tanh": mp.tanh,
    "Erf": mp.erf, "Sin": mp.sin, "Cos": mp.cos, "Tan": mp.tan, "Atan": mp.atan, "Sinh": mp.sinh, "Cosh": mp.cosh,
    "Asin": lambda x: mp.asin(x) if abs(x) <= 1 else NAN, "Acos": lambda x: mp.acos(x) if abs(x) <= 1 else NAN,
    "Asinh": mp.asinh, "Acosh": lambda x: mp.acosh(x) if x >= 1 else NAN,
    "Atanh": lambda x: mp.atanh(x) if abs(x) < 1 else (x * mp.inf if abs(x) == 1 else NAN),
    "Relu": lambda x: max(x, type(x)(0)), "Softplus": lambda x: mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x)),
    "Softsign": lambda x: x / (1 + abs(x)), "Sign": lambda x: type(x)((x > 0) - (x < 0)), "Floor": mp.floor,
    "Ceil": mp.ceil, "Round": half_even, "Mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
    "HardSwish": lambda x: x * max(mpf(0), min(mpf(1), x / 6 + mpf(1) / 2)),
}


def reduced_axes(inputs, a, rank):
    axes = a("axes")
    if axes is None and len(inputs) > 1 and inputs[1] is not None:
        axes = [int(v) for v in inputs[1].reshape(-1)]
    if not axes:
        return () if a("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(v % rank for v in axes))


def reduce(x, axes, keep, function):
    if not axes:
        return x
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    outer = moved.shape[: x.ndim - len(axes)]
    rows = moved.reshape(outer + (-1,)) if moved.size else moved
    out = np.empty(outer, dtype=object)
    for place in np.ndindex(*outer):
        out[place] = function(list(rows[place]))
    return out.reshape([1 if d in axes else x.shape[d] for d in range(x.ndim)]) if keep else out


def total(values):
    result = values[0] * 0
    for v in values:
        result = result + v
    return result


def product(values):
    result = values[0] * 0 + 1
    for v in values:
        result = result * v
    return result


def largest(values):
    return NAN if any(isinstance(v, mpf) and mp.isnan(v) for v in values) else max(values)


def smallest(values):
    return NAN if any(isinstance(v, mpf) and mp.isnan(v) for v in values) else min(values)


REDUCTIONS = {
    "ReduceSum": total, "ReduceMean": lambda v: total(v) / len(v), "ReduceMax": largest, "ReduceMin": smallest,
    "ReduceProd": product, "ReduceL1": lambda v: total([abs(x) for x in v]),
    "ReduceL2": lambda v: mp.sqrt(total([x * x for x in v])), "ReduceSumSquare": lambda v: total([x * x for x in v]),
    "ReduceLogSum": lambda v: SIMPLE["Log"](total(v)), "ReduceLogSumExp": lambda v: mp.log(total([mp.exp(x) for x in v])),
}


def matmul(a, b):
    if a.ndim == 1 and b.ndim == 1:
        return objects([total([p * q for p, q in zip(a, b)])], ())
    if a.ndim == 1:
        return matmul(a[None, :], b)[..., 0, :]
    if b.ndim == 1:
        return matmul(a, b[:, None])[..., 0]
    outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, outer + a.shape[-2:])
    b = np.broadcast_to(b, outer + b.shape[-2:])
    out = np.empty(outer + (a.shape[-2], b.shape[-1]), dtype=object)
    for place in np.ndindex(*out.shape):
        o, i, j = place[:-2], place[-2], place[-1]
        out[place] = total([p * q for p, q in zip(a[o + (i,)], b[o + (slice(None), j)])])
    return out


def pads_of(a, extents, kernel, strides, dilations):
    rank = len(kernel)
    automatic = a("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for n, k, s, d in zip(extents, kernel, strides, dilations):
            need = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
            small, large = need // 2, need - need // 2
            begin.append(small if automatic == "SAME_UPPER" else large)
            end.append(large if automatic == "SAME_UPPER" else small)
        return begin, end
    if automatic == "VALID":
        return [0] * rank, [0] * rank
    pads = list(a("pads", [0] * (2 * rank)))
    return pads[:rank], pads[rank:]


def convolution(inputs, a):
    x, w = inputs[0], inputs[1]
    kernel = w.shape[2:]
    rank = len(kernel)
    strides, dilations = a("strides", [1] * rank), a("dilations", [1] * rank)
    group = a("group", 1)
    begin, end = pads_of(a, x.shape[2:], kernel, strides, dilations)
    sizes = [
        (n + p + q - (k - 1) * d - 1) // s + 1
        for n, p, q, k, d, s in zip(x.shape[2:], begin, end, kernel, dilations, strides)
    ]
    out = np.empty((x.shape[0], w.shape[0], *sizes), dtype=object)
    per, inner = w.shape[0] // group, w.shape[1]
    for place in np.ndindex(*out.shape):
        n, m, at = place[0], place[1], place[2:]
        terms = []
        for k in np.ndindex(*kernel):
            where = [i * s - p + j * d for i, s, p, j, d in zip(at, strides, begin, k, dilations)]
            if all(0 <= v < e for v, e in zip(where, x.shape[2:])):
                for c in range(inner):
                    terms.append(x[(n, (m // per) * inner + c, *where)] * w[(m, c, *k)])
        bias = inputs[2][m] if len(inputs) > 2 and inputs[2] is not None else mpf(0)
        out[place] = total([bias] + terms)
    return out


def transposed_convolution(inputs, a):
    x, w = inputs[0], inputs[1]
    kernel = w.shape[2:]
    rank = len(kernel)
    if a("output_shape") or a("auto_pad", "NOTSET") != "NOTSET":
        raise Unsupported("ConvTranspose output_shape")
    strides, dilations = a("strides", [1] * rank), a("dilations", [1] * rank)
    extra, group = a("output_padding", [0] * rank), a("group", 1)
    pads = list(a("pads", [0] * (2 * rank)))
    sizes = [
        (n - 1) * s + e + (k - 1) * d + 1 - p - q
        for n, s, e, k, d, p, q in zip(x.shape[2:], strides, extra, kernel, dilations, pads[:rank], pads[rank:])
    ]
    per = w.shape[1]
    out = np.empty((x.shape[0], per * group, *sizes), dtype=object)
    for place in np.ndindex(*out.shape):
        bias = inputs[2][place[1]] if len(inputs) > 2 and inputs[2] is not None else mpf(0)
        out[place] = bias
    for place in np.ndindex(*x.shape):
        n, c, at = place[0], place[1], place[2:]
        base = c // (x.shape[1] // group)
        for m in range(per):
            for k in np.ndindex(*kernel):
                where = [i * s + j * d - p for i, s, j, d, p in zip(at, strides, k, dilations, pads)]
                if all(0 <= v < e for v, e in zip(where, sizes)):
                    target = (n, base * per + m, *where)
                    out[target] = out[target] + x[place] * w[(c, m, *k)]
    return out


def pool(x, a, function, count_pads, opset):
    kernel = a("kernel_shape")
    rank = len(kernel)
    strides, dilations = a("strides", [1] * rank), a("dilations", [1] * rank)
    begin, end = pads_of(a, x.shape[2:], kernel, strides, dilations)
    sizes = []
    for n, p, q, k, d, s in zip(x.shape[2:], begin, end, kernel, dilations, strides):
        span = n + p + q - (k - 1) * d - 1
        size = (-(-span // s) if a("ceil_mode", 0) else span // s) + 1
        if a("ceil_mode", 0) and (size - 1) * s >= n + p:
            size -= 1
        sizes.append(size)
    out = np.empty((x.shape[0], x.shape[1], *sizes), dtype=object)
    for place in np.ndindex(*out.shape):
        values, inside = [], 0
        for k in np.ndindex(*kernel):
            where = [i * s - p + j * d for i, s, p, j, d in zip(place[2:], strides, begin, k, dilations)]
            if all(-p <= v < e + q for v, e, p, q in zip(where, x.shape[2:], begin, end)):
                inside += 1
            if all(0 <= v < e for v, e in zip(where, x.shape[2:])):
                values.append(x[(place[0], place[1], *where)])
        out[place] = function(values, inside if count_pads else len(values))
    return out


def softmax_rows(rows, log):
    top = max(rows)
    weights = [mp.exp(v - top) for v in rows]
    whole = total(weights)
    return [v - top - mp.log(whole) for v in rows] if log else [w / whole for w in weights]


def along(x, axis, function):
    moved = np.moveaxis(x, axis, -1)
    out = np.empty(moved.shape, dtype=object)
    for place in np.ndindex(*moved.shape[:-1]):
        row = function(list(moved[place]))
        for i, v in enumerate(row):
            out[place + (i,)] = v
    return np.moveaxis(out, -1, axis)


def normalised(rows, epsilon, center=True):
    mean = total(rows) / len(rows) if center else mpf(0)
    square = total([(v - mean) ** 2 for v in rows]) / len(rows)
    return [(v - mean) / mp.sqrt(square + epsilon) for v in rows]


def resized(inputs, a):
    x = inputs[0]
    if a("mode", "nearest") not in ("nearest", "linear") or a("antialias", 0) or a("axes"):
        raise Unsupported("Resize mode")
    sizes = inputs[3] if len(inputs) > 3 and inputs[3] is not None else None
    scales = inputs[2] if len(inputs) > 2 and inputs[2] is not None and inputs[2].size else None
    shape = [int(v) for v in sizes] if sizes is not None else [int(mp.floor(n * s)) for n, s in zip(x.shape, scales)]
    # The standard's scale: the given one, or the quotient of the extents.
    ratio = [mpf(m) / n for m, n in zip(shape, x.shape)] if sizes is not None else list(scales)
    if a("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("Resize policy")
    transform, nearest = a("coordinate_transformation_mode", "half_pixel"), a("nearest_mode", "round_prefer_floor")

    def coordinate(i, axis):
        n, m, r = x.shape[axis], shape[axis], ratio[axis]
        if n == m and r == 1:
            return mpf(i)
        if transform == "half_pixel":
            return (mpf(i) + mpf(1) / 2) / r - mpf(1) / 2
        if transform == "pytorch_half_pixel":
            return (mpf(i) + mpf(1) / 2) / r - mpf(1) / 2 if m > 1 else mpf(0)
        if transform == "asymmetric":
            return mpf(i) / r
        if transform == "align_corners":
            return mpf(i) * (n - 1) / (m - 1) if m > 1 else mpf(0)
        raise Unsupported(transform)

    def weights(axis, i):
        c, n = coordinate(i, axis), x.shape[axis]
        low = mp.floor(c)
        if a("mode", "nearest") == "nearest":
            half = c - low == mpf(1) / 2
            near = {"floor": low, "ceil": mp.ceil(c), "round_prefer_floor": low if half else mp.floor(c + mpf(1) / 2),
                    "round_prefer_ceil": mp.floor(c + mpf(1) / 2)}[nearest]
            return [(min(max(int(near), 0), n - 1), mpf(1))]
        part = c - low
        return [(min(max(int(low), 0), n - 1), 1 - part), (min(max(int(low) + 1, 0), n - 1), part)]

    tables = [[weights(axis, i) for i in range(m)] for axis, m in enumerate(shape)]
    out = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        terms = [((), mpf(1))]
        for axis, i in enumerate(place):
            terms = [(at + (j,), w * v) for at, w in terms for j, v in tables[axis][i] if v != 0]
        out[place] = total([x[at] * w for at, w in terms])
    return out


def sliced(inputs, a):
    x = inputs[0]
    if len(inputs) == 1:
        starts, ends, axes, steps = a("starts"), a("ends"), a("axes"), None
    else:
        given = [None if v is None else [int(e) for e in v] for v in inputs[1:]] + [None] * 4
        starts, ends, axes, steps = given[:4]
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    index = [slice(None)] * x.ndim
    for s, e, axis, step in zip(starts, ends, axes, steps):
        n = x.shape[axis]
        s, e = (s + n if s < 0 else s), (e + n if e < 0 else e)
        if step > 0:
            index[axis] = slice(min(max(s, 0), n), min(max(e, 0), n), step)
        else:
            s, e = min(max(s, 0), n - 1), min(max(e, -1), n - 1)
            index[axis] = slice(s, None if e < 0 else e, step)
    return x[tuple(index)]


def padded(inputs, a):
    x = inputs[0]
    pads = [int(v) for v in inputs[1]] if len(inputs) > 1 else list(a("pads"))
    value = inputs[2].reshape(-1)[0] if len(inputs) > 2 and inputs[2] is not None else a.float("value", 0.0)
    axes = [int(v) % x.ndim for v in inputs[3]] if len(inputs) > 3 and inputs[3] is not None else list(range(x.ndim))
    mode = a("mode", "constant")
    for at, axis in enumerate(axes):
        before, after, n = pads[at], pads[at + len(axes)], x.shape[axis]
        places = range(-before, n + after)
        pieces = []
        for p in places:
            if mode == "reflect":
                while n > 1 and not 0 <= p < n:
                    p = -p if p < 0 else 2 * (n - 1) - p
            elif mode == "edge":
                p = min(max(p, 0), n - 1)
            elif mode == "wrap":
                p %= n
            inside = 0 <= p < n
            pieces.append(np.take(x, [p], axis) if inside else np.full_like(np.take(x, [0], axis), value))
        x = np.concatenate(pieces, axis) if pieces else np.take(x, [], axis)
    return x


def divided(a, b):
    if isinstance(a, int):
        if b == 0:
            raise Unsupported("integer division by zero")
        q = abs(a) // abs(b)
        return q if (a >= 0) == (b >= 0) else -q
    if b == 0:
        return NAN
    return a / b


def power(x, y):
    if isinstance(x, int) and isinstance(y, int):
        return x**y if y >= 0 else NAN
    if x == 0 and y <= 0:
        return mpf(1) if y == 0 else NAN
    if x < 0 and y != int(y):
        return NAN
    return mpf(x) ** (int(y) if y == int(y) else y)


def cast(x, kind):
    def convert(v):
        if kind == onnx.TensorProto.BOOL:
            return bool(v != 0)
        if kind in INTEGERS:
            if isinstance(v, mpf):
                if mp.isnan(v) or mp.isinf(v):
                    raise Unsupported("cast of NaN")
                v = int(v)
                if v != wrap(v, kind):
                    raise Unsupported("cast out of range")
            return wrap(int(v), kind)
        if kind in FLOATS:
            return mpf(int(v)) if isinstance(v, (bool, int)) else v
        raise Unsupported("cast")

    return each(convert)(x)


class Evaluator:
    """Evaluates a model at exact inputs; `values` holds every tensor afterwards."""

    def __init__(self, model):
        self.model = model
        self.opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        inferred = onnx.shape_inference.infer_shapes(model)
        self.types = {
            v.name: v.type.tensor_type.elem_type
            for group in (inferred.graph.input, inferred.graph.value_info, inferred.graph.output)
            for v in group
        }
        # Scalars in Constant nodes that are read as roots where they are factors or divisors.
        self.roots = {}
        for node in model.graph.node:
            if node.op_type == "Constant":
                array = numpy_helper.to_array(helper.get_attribute_value(node.attribute[0]))
                if array.dtype == np.float32 and array.size == 1 and root(array.reshape(-1)[0]) is not None:
                    self.roots[node.output[0]] = objects([root(array.reshape(-1)[0])], array.shape)
        self.constants = {t.name: exact(numpy_helper.to_array(t)) for t in model.graph.initializer}

    def __call__(self, inputs):
        values = dict(self.constants)
        values.update(inputs)
        for node in self.model.graph.node:
            arguments = [values[n] if n else None for n in node.input]
            if node.op_type in ("Mul", "Div"):
                arguments = [self.roots.get(n, v) for n, v in zip(node.input, arguments)]
            results = self.node(node, arguments)
            results = results if isinstance(results, list) else [results]
            for name, result in zip(node.output, results):
                kind = self.types.get(name)
                if kind in INTEGERS and node.op_type not in ("Cast",):
                    result = each(lambda v: wrap(v, kind))(result)
                values[name] = result
        self.values = values
        return [values[o.name] for o in self.model.graph.output]

    def node(self, node, i):
        a, op = Attributes(node), node.op_type
        x = i[0] if i else None
        if op in SIMPLE:
            return nan_aware(SIMPLE[op])(x)
        if op in REDUCTIONS:
            return reduce(x, reduced_axes(i, a, x.ndim), a("keepdims", 1), REDUCTIONS[op])
        method = getattr(self, "op_" + op, None)
        if method is None:
            raise Unsupported(op)
        return method(i, a, node)

    # Elementwise with attributes.
    def op_LeakyRelu(self, i, a, n): alpha = a.float("alpha", 0.01); return nan_aware(lambda x: x if x >= 0 else alpha * x)(i[0])
    def op_ThresholdedRelu(self, i, a, n): alpha = a.float("alpha", 1.0); return nan_aware(lambda x: x if x > alpha else mpf(0))(i[0])
    def op_Elu(self, i, a, n): alpha = a.float("alpha", 1.0); return nan_aware(lambda x: x if x >= 0 else alpha * mp.expm1(x))(i[0])
    def op_Celu(self, i, a, n): alpha = a.float("alpha", 1.0); return nan_aware(lambda x: x if x >= 0 else alpha * mp.expm1(x / alpha))(i[0])
    def op_HardSigmoid(self, i, a, n):
        alpha, beta = a.float("alpha", 0.2), a.float("beta", 0.5)
        return nan_aware(lambda x: max(mpf(0), min(mpf(1), alpha * x + beta)))(i[0])

    def op_Selu(self, i, a, n):
        alpha, gamma = a.float("alpha", "1.67326319217681884765625"), a.float("gamma", "1.05070102214813232421875")
        return nan_aware(lambda x: gamma * (x if x > 0 else alpha * mp.expm1(x)))(i[0])

    def op_Shrink(self, i, a, n):
        bias, lambd = a.float("bias", 0.0), a.float("lambd", 0.5)
        return nan_aware(lambda x: x + bias if x < -lambd else (x - bias if x > lambd else mpf(0)))(i[0])

    def op_PRelu(self, i, a, n): return nan_aware(lambda x, s: x if x >= 0 else s * x)(i[0], i[1])
    def op_Gelu(self, i, a, n): return nan_aware(gelu if a("approximate", "none") == "none" else gelu_tanh)(i[0])

    def op_Clip(self, i, a, n):
        low = i[1].reshape(-1)[0] if len(i) > 1 and i[1] is not None else (a.float("min", 0) if "min" in a.values else None)
        high = i[2].reshape(-1)[0] if len(i) > 2 and i[2] is not None else (a.float("max", 0) if "max" in a.values else None)

        def clip(x):
            x = max(x, low) if low is not None else x
            return min(x, high) if high is not None else x

        return nan_aware(clip)(i[0])

    def op_IsNaN(self, i, a, n): return each(lambda x: bool(mp.isnan(x)))(i[0])
    def op_Not(self, i, a, n): return each(lambda x: not x)(i[0])
    def op_Cast(self, i, a, n): return cast(i[0], a("to"))

    # Two and more arguments.
    def op_Add(self, i, a, n): return nan_aware(lambda x, y: x + y)(i[0], i[1])
    def op_Sub(self, i, a, n): return nan_aware(lambda x, y: x - y)(i[0], i[1])
    def op_Mul(self, i, a, n): return nan_aware(lambda x, y: x * y)(i[0], i[1])
    def op_Div(self, i, a, n): return nan_aware(divided)(i[0], i[1])
    def op_Pow(self, i, a, n): return nan_aware(power)(i[0], i[1])
    def op_Sum(self, i, a, n): return nan_aware(lambda *v: total(list(v)))(*i)
    def op_Mean(self, i, a, n): return nan_aware(lambda *v: total(list(v)) / len(v))(*i)
    def op_Max(self, i, a, n): return nan_aware(lambda *v: max(v))(*i)
    def op_Min(self, i, a, n): return nan_aware(lambda *v: min(v))(*i)
    def op_And(self, i, a, n): return each(lambda x, y: x and y)(i[0], i[1])
    def op_Or(self, i, a, n): return each(lambda x, y: x or y)(i[0], i[1])
    def op_Xor(self, i, a, n): return each(lambda x, y: x != y)(i[0], i[1])
    def op_Equal(self, i, a, n): return each(lambda x, y: bool(x == y))(i[0], i[1])
    def op_Less(self, i, a, n): return each(lambda x, y: bool(x < y))(i[0], i[1])
    def op_Greater(self, i, a, n): return each(lambda x, y: bool(x > y))(i[0], i[1])
    def op_LessOrEqual(self, i, a, n): return each(lambda x, y: bool(x <= y))(i[0], i[1])
    def op_GreaterOrEqual(self, i, a, n): return each(lambda x, y: bool(x >= y))(i[0], i[1])
    def op_Where(self, i, a, n): return each(lambda c, x, y: x if c else y)(*i)

    def op_Mod(self, i, a, n):
        if a("fmod", 0):
            return nan_aware(lambda x, y: x - y * (lambda q: mp.floor(q) if q >= 0 else mp.ceil(q))(x / y) if y else NAN)(i[0], i[1])
        return each(lambda x, y: x % y)(i[0], i[1])

    # Linear algebra.
    def op_MatMul(self, i, a, n): return matmul(i[0], i[1])
    def op_Conv(self, i, a, n): return convolution(i, a)
    def op_ConvTranspose(self, i, a, n): return transposed_convolution(i, a)

    def op_Gemm(self, i, a, n):
        x, w = (i[0].T if a("transA", 0) else i[0]), (i[1].T if a("transB", 0) else i[1])
        out = matmul(x, w) * a.float("alpha", 1.0)
        return out + i[2] * a.float("beta", 1.0) if len(i) > 2 and i[2] is not None else out

    def op_BatchNormalization(self, i, a, n):
        shape = [1, -1] + [1] * (i[0].ndim - 2)
        s, b, m, v = (t.reshape(shape) for t in i[1:5])
        epsilon = a.float("epsilon", 1e-5)
        return nan_aware(lambda x, s, b, m, v: (x - m) / mp.sqrt(v + epsilon) * s + b if v + epsilon > 0 else NAN)(i[0], s, b, m, v)

    def op_AveragePool(self, i, a, n):
        return pool(i[0], a, lambda v, count: total(v) / count if count else NAN, a("count_include_pad", 0), self.opset)

    def op_MaxPool(self, i, a, n): return pool(i[0], a, lambda v, count: largest(v), False, self.opset)
    def op_GlobalAveragePool(self, i, a, n): return reduce(i[0], tuple(range(2, i[0].ndim)), 1, REDUCTIONS["ReduceMean"])
    def op_GlobalMaxPool(self, i, a, n): return reduce(i[0], tuple(range(2, i[0].ndim)), 1, largest)

    def op_LRN(self, i, a, n):
        x, size = i[0], a("size")
        alpha, beta, bias = a.float("alpha", 1e-4), a.float("beta", 0.75), a.float("bias", 1.0)
        out = np.empty(x.shape, dtype=object)
        for p in np.ndindex(*x.shape):
            low, high = max(0, p[1] - (size - 1) // 2), min(x.shape[1] - 1, p[1] + size // 2)
            square = total([x[(p[0], c) + p[2:]] ** 2 for c in range(low, high + 1)])
            out[p] = x[p] / (bias + alpha / size * square) ** beta
        return out

    # Softmax and normalisations.
    def softmaxes(self, i, a, log):
        axis = a("axis", 1 if self.opset < 13 else -1) % i[0].ndim
        if self.opset < 13:
            shape = i[0].shape
            flat = i[0].reshape((math.prod(shape[:axis]), -1))
            return along(flat, 1, lambda r: softmax_rows(r, log)).reshape(shape)
        return along(i[0], axis, lambda r: softmax_rows(r, log))

    def op_Softmax(self, i, a, n): return self.softmaxes(i, a, False)
    def op_LogSoftmax(self, i, a, n): return self.softmaxes(i, a, True)

    def op_Hardmax(self, i, a, n):
        if self.opset < 13:
            raise Unsupported("Hardmax before 13")
        return along(i[0], a("axis", -1), lambda r: [mpf(int(k == r.index(max(r)))) for k in range(len(r))])

    def op_LayerNormalization(self, i, a, n):
        axis, x = a("axis", -1) % i[0].ndim, i[0]
        rows = x.reshape((math.prod(x.shape[:axis]), -1))
        out = along(rows, 1, lambda r: normalised(r, a.float("epsilon", 1e-5))).reshape(x.shape) * i[1]
        return out + i[2] if len(i) > 2 and i[2] is not None else out

    def op_RMSNormalization(self, i, a, n):
        axis, x = a("axis", -1) % i[0].ndim, i[0]
        rows = x.reshape((math.prod(x.shape[:axis]), -1))
        return along(rows, 1, lambda r: normalised(r, a.float("epsilon", 1e-5), False)).reshape(x.shape) * i[1]

    def op_InstanceNormalization(self, i, a, n):
        x = i[0]
        rows = x.reshape(x.shape[:2] + (-1,))
        shape = [1, -1] + [1] * (x.ndim - 2)
        out = along(rows, 2, lambda r: normalised(r, a.float("epsilon", 1e-5))).reshape(x.shape)
        return out * i[1].reshape(shape) + i[2].reshape(shape)

    def op_LpNormalization(self, i, a, n):
        def norm(r):
            size = total([abs(v) for v in r]) if a("p", 2) == 1 else mp.sqrt(total([v * v for v in r]))
            if size == 0:
                raise Unsupported("norm of zero")
            return [v / size for v in r]

        return along(i[0], a("axis", -1), norm)

    # Data movement.
    def op_Identity(self, i, a, n): return i[0]
    def op_Dropout(self, i, a, n): return i[0]
    def op_Constant(self, i, a, n): return exact(numpy_helper.to_array(a("value")))
    def op_Transpose(self, i, a, n): return np.transpose(i[0], a("perm"))
    def op_Concat(self, i, a, n): return np.concatenate(i, a("axis"))
    def op_Slice(self, i, a, n): return sliced(i, a)
    def op_Pad(self, i, a, n): return padded(i, a)
    def op_Resize(self, i, a, n): return resized(i, a)
    def op_Shape(self, i, a, n): return exact(np.array(i[0].shape, dtype=np.int64))

    def op_Reshape(self, i, a, n):
        shape = [int(v) for v in i[1]]
        return i[0].reshape([i[0].shape[k] if s == 0 and not a("allowzero", 0) else s for k, s in enumerate(shape)])

    def op_Flatten(self, i, a, n):
        axis = a("axis", 1)
        axis = axis + i[0].ndim if axis < 0 else axis
        return i[0].reshape((math.prod(i[0].shape[:axis]), -1))

    def axes(self, i, a): return [int(v) for v in i[1]] if len(i) > 1 and i[1] is not None else a("axes")
    def op_Unsqueeze(self, i, a, n): return np.expand_dims(i[0], tuple(self.axes(i, a)))
    def op_Squeeze(self, i, a, n): return np.squeeze(i[0], None if self.axes(i, a) is None else tuple(self.axes(i, a)))
    def op_Expand(self, i, a, n): return np.broadcast_to(i[0], np.broadcast_shapes(i[0].shape, tuple(int(v) for v in i[1]))).copy()
    def op_Tile(self, i, a, n): return np.tile(i[0], [int(v) for v in i[1]])
    def op_Gather(self, i, a, n): return np.take(i[0], i[1].astype(np.int64) if i[1].size else i[1], axis=a("axis", 0))
    def op_GatherElements(self, i, a, n):
        axis = a("axis", 0) % i[0].ndim
        return np.take_along_axis(i[0], i[1].astype(np.int64) % i[0].shape[axis], axis)

    def op_Trilu(self, i, a, n):
        k = int(i[1].reshape(-1)[0]) if len(i) > 1 and i[1] is not None else 0
        keep = np.triu(np.ones(i[0].shape[-2:]), k) if a("upper", 1) else np.tril(np.ones(i[0].shape[-2:]), k)
        return each(lambda x, m: x if m else x * 0)(i[0], keep.astype(object))

    def op_Split(self, i, a, n):
        axis, count = a("axis", 0), len(n.output)
        sizes = [int(v) for v in i[1]] if len(i) > 1 and i[1] is not None else a("split")
        if not sizes:
            each_size = -(-i[0].shape[axis] // count)
            sizes = [each_size] * (count - 1) + [i[0].shape[axis] - each_size * (count - 1)]
        return [v.copy() for v in np.split(i[0], np.cumsum(sizes)[:-1], axis)]

    def op_DepthToSpace(self, i, a, n):
        b, (N, C, H, W) = a("blocksize"), i[0].shape
        if a("mode", "DCR") == "DCR":
            return i[0].reshape(N, b, b, C // b**2, H, W).transpose(0, 3, 4, 1, 5, 2).reshape(N, C // b**2, H * b, W * b)
        return i[0].reshape(N, C // b**2, b, b, H, W).transpose(0, 1, 4, 2, 5, 3).reshape(N, C // b**2, H * b, W * b)

    def op_SpaceToDepth(self, i, a, n):
        b, (N, C, H, W) = a("blocksize"), i[0].shape
        return i[0].reshape(N, C, H // b, b, W // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(N, C * b * b, H // b, W // b)

    def op_CumSum(self, i, a, n):
        axis, x = int(i[1].reshape(-1)[0]) % i[0].ndim, i[0]
        x = np.flip(x, axis) if a("reverse", 0) else x

        def sums(row):
            out, so_far = [], row[0] * 0
            for v in row:
                out.append(so_far if a("exclusive", 0) else so_far + v)
                so_far = so_far + v
            return out

        out = along(x, axis, sums)
        return np.flip(out, axis) if a("reverse", 0) else out

    # Choices.
    def extremum(self, i, a, better):
        axis, keep, last = a("axis", 0) % i[0].ndim, a("keepdims", 1), a("select_last_index", 0)

        def best(row):
            place = 0
            for k, v in enumerate(row):
                if better(v, row[place]) or (last and v == row[place]):
                    place = k
            return place

        return reduce(i[0], (axis,), keep, best)

    def op_ArgMax(self, i, a, n): return self.extremum(i, a, lambda x, y: x > y)
    def op_ArgMin(self, i, a, n): return self.extremum(i, a, lambda x, y: x < y)

    def op_TopK(self, i, a, n):
        axis, k, most = a("axis", -1), int(i[1].reshape(-1)[0]), a("largest", 1)
        order = lambda r: sorted(range(len(r)), key=lambda j: (-r[j] if most else r[j], j))[:k]
        moved = np.moveaxis(i[0], axis, -1)
        values = np.empty(moved.shape[:-1] + (k,), dtype=object)
        indices = np.empty(moved.shape[:-1] + (k,), dtype=object)
        for place in np.ndindex(*moved.shape[:-1]):
            for slot, j in enumerate(order(list(moved[place]))):
                values[place + (slot,)], indices[place + (slot,)] = moved[place + (j,)], j
        return [np.moveaxis(values, -1, axis), np.moveaxis(indices, -1, axis)]

    def op_Einsum(self, i, a, n):
        left, right = a("equation").replace(" ", "").split("->")
        terms = left.split(",")
        extents = {c: e for t, x in zip(terms, i) for c, e in zip(t, x.shape)}
        summed = [c for c in extents if c not in right]
        out = np.empty([extents[c] for c in right], dtype=object)
        for place in np.ndindex(*out.shape):
            parts = []
            for inner in np.ndindex(*[extents[c] for c in summed]):
                at = dict(zip(right, place)) | dict(zip(summed, inner))
                parts.append(product([x[tuple(at[c] for c in t)] for t, x in zip(terms, i)]))
            out[place] = total(parts)
        return out
