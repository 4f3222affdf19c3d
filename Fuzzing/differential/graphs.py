"""Random ONNX graphs: every operator that the project promises and the oracle knows, with odd attributes, broadcasts, ties,
huge, tiny and cancelling constants. The same seed makes the same model on every machine."""

import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, BOOL, INT32 = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL, TensorProto.INT32,
)


class Retry(Exception):
    """The pool holds nothing that the chosen operator takes."""


class Builder:
    def __init__(self, seed, style):
        self.rng = random.Random(seed)
        self.style = style
        self.opset = self.rng.choice([9, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21])
        self.type = DOUBLE if self.rng.random() < 0.2 else FLOAT
        self.nodes, self.initializers, self.inputs, self.pool = [], [], [], []
        self.count = 0

    # Names and constants.
    def name(self, stem="t"):
        self.count += 1
        return f"{stem}{self.count}"

    def number(self):
        r = self.rng
        kind = r.random()
        if self.style == "wild" and kind < 0.12:
            return r.choice([1e16, -1e16, 1e30, -1e30, 1e-30, 1e-38, -3e38, 1e-45, 3e8, -3e8, 16777217.0])
        if kind < 0.3:
            return float(r.randint(-3, 3))
        if kind < 0.45:
            return r.choice([0.1, 0.3, -0.7, 1 / 3, 1e-3, 0.5, 0.25, 6.0, 1 / 6, 1.7])
        return r.gauss(0, 1)

    def constant(self, shape, values=None, kind=None):
        kind = kind or self.type
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        if values is None:
            values = [self.number() for _ in range(int(np.prod(shape)))]
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=np.float64 if kind in (FLOAT, DOUBLE) else np.int64).astype(dtype)
        array = array.reshape(shape)
        name = self.name("c")
        if self.rng.random() < 0.15 and self.opset >= 9:
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name)))
        else:
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, values):
        return self.constant([len(values)], values, INT64)

    # The pool: (name, shape, element type).
    def take(self, kind=None, rank=None, test=None):
        kind = kind or self.type
        found = [
            t for t in self.pool
            if t[2] == kind and (rank is None or len(t[1]) in ([rank] if isinstance(rank, int) else rank))
            and (test is None or test(t[1]))
        ]
        if not found:
            raise Retry()
        # Later tensors more often, so that graphs are deep.
        return found[min(self.rng.randrange(len(found)), self.rng.randrange(len(found))) - len(found)] if self.rng.random() < 0.3 else found[-1 - min(self.rng.randrange(len(found)), self.rng.randrange(len(found)))]

    def emit(self, op, inputs, shape, kind=None, outputs=1, **attributes):
        names = [self.name() for _ in range(outputs)]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        shapes = shape if outputs > 1 else [shape]
        kinds = kind if isinstance(kind, list) else [kind or self.type] * outputs
        for name, s, k in zip(names, shapes, kinds):
            self.pool.append((name, tuple(int(v) for v in s), k))
        return names[0]

    def attribute(self, default=None):
        r = self.rng
        return r.choice([None, 0.1, 0.2, 0.25, 0.5, 1.0, 1.3, 2.0, 0.01, round(r.uniform(0.05, 3), 2)])

    def broadcast_partner(self, shape):
        r = self.rng
        tail = list(shape[r.randint(0, len(shape)):])
        return [e if r.random() < 0.7 else 1 for e in tail]


UNARY = [
    "Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Softplus", "Softsign", "Erf", "Sin", "Cos", "Atan", "Sinh", "Cosh",
    "Asinh", "Reciprocal", "Sqrt", "Log", "Floor", "Ceil", "Sign", "Tan", "Round", "HardSwish", "Mish", "Identity", "Asin", "Acos",
    "Atanh", "Acosh",
]
SINCE = {"Round": 11, "HardSwish": 14, "Mish": 18, "Gelu": 20, "Einsum": 12, "Celu": 12, "Trilu": 14, "LayerNormalization": 17,
         "GatherElements": 11, "CumSum": 11}
OPERATORS = {}


def operator(weight=1.0):
    def register(function):
        OPERATORS[function.__name__] = (function, weight)
        return function

    return register


@operator(6)
def unary(b):
    x = b.take()
    op = b.rng.choice(UNARY)
    if SINCE.get(op, 0) > b.opset:
        raise Retry()
    b.emit(op, [x[0]], x[1])


@operator(3)
def parametric(b):
    x = b.take()
    op = b.rng.choice(["LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu", "Shrink", "PRelu", "Clip", "Gelu"])
    if SINCE.get(op, 0) > b.opset or (op in ("Elu", "Celu", "Selu", "ThresholdedRelu") and b.type == DOUBLE):
        raise Retry()
    if op == "PRelu":
        return b.emit(op, [x[0], b.constant(b.broadcast_partner(x[1]))], x[1])
    if op == "Clip":
        low, high = sorted([b.number(), b.number()])
        if b.opset < 11:
            return b.emit(op, [x[0]], x[1], min=low, max=high)
        both = [b.constant([], [low]), b.constant([], [high])]
        return b.emit(op, [x[0]] + b.rng.choice([both, both[:1], ["", both[1]]]), x[1])
    if op == "Gelu":
        return b.emit(op, [x[0]], x[1], approximate=b.rng.choice([None, "tanh", "none"]))
    names = {"Selu": ("alpha", "gamma"), "HardSigmoid": ("alpha", "beta"), "Shrink": ("bias", "lambd")}.get(op, ("alpha",))
    b.emit(op, [x[0]], x[1], **{n: b.attribute() for n in names})


@operator(6)
def binary(b):
    op = b.rng.choice(["Add", "Sub", "Mul", "Div", "Add", "Mul", "Max", "Min", "Pow"])
    x = b.take()
    if b.rng.random() < 0.5:
        if op == "Pow":
            y = b.constant([], [b.rng.choice([2.0, 3.0, 0.5, 1.0, -1.0, 0.0, 4.0, 1.5])])
            return b.emit(op, [x[0], y], x[1])
        shape = b.broadcast_partner(x[1])
        arguments = [x[0], b.constant(shape)]
        if b.rng.random() < 0.3:
            arguments.reverse()
        return b.emit(op, arguments, x[1])
    y = b.take()
    try:
        shape = np.broadcast_shapes(x[1], y[1])
    except ValueError:
        raise Retry()
    b.emit(op, [x[0], y[0]], shape)


@operator(2)
def variadic(b):
    x = b.take()
    op = b.rng.choice(["Sum", "Mean", "Max", "Min"])
    arguments = [x[0]]
    for _ in range(b.rng.randint(1, 3)):
        same = [t for t in b.pool if t[1] == x[1] and t[2] == b.type]
        arguments.append(b.rng.choice(same)[0] if b.rng.random() < 0.4 else b.constant(b.broadcast_partner(x[1])))
    b.rng.shuffle(arguments)
    b.emit(op, arguments, x[1])


@operator(2)
def folded(b):
    """Arithmetic of constants alone, joined to a variable: what the importer may fold."""
    x = b.take()
    t = b.constant(b.broadcast_partner(x[1]))
    for _ in range(b.rng.randint(1, 3)):
        op = b.rng.choice(["Mul", "Add", "Sub", "Exp", "Tanh", "Neg", "Div"])
        name = b.name()
        second = [] if op in ("Exp", "Tanh", "Neg") else [b.constant([])]
        b.nodes.append(helper.make_node(op, [t] + second, [name]))
        t = name
    b.emit(b.rng.choice(["Add", "Mul", "Sub"]), [x[0], t], x[1])


@operator(3)
def gemm(b):
    x = b.take(rank=2)
    transposed = b.rng.random() < 0.3
    inner, outer = (x[1][0], x[1][1]) if transposed else (x[1][1], x[1][0])
    m = b.rng.randint(1, 4)
    right = b.rng.random() < 0.5
    w = b.constant([m, inner] if right else [inner, m])
    arguments = [x[0], w]
    if b.rng.random() < 0.7 or b.opset < 11:
        arguments.append(b.constant(b.rng.choice([[m], [outer, m], [1, m], [1], [outer, 1], []])))
    b.emit("Gemm", arguments, [outer, m], alpha=b.attribute(), beta=b.attribute(), transA=int(transposed), transB=int(right))


@operator(3)
def matmul(b):
    x = b.take(test=lambda s: len(s) >= 1)
    inner, m = x[1][-1], b.rng.randint(1, 4)
    if b.rng.random() < 0.3:
        y = b.take(test=lambda s: len(s) >= 2 and s[-2] == inner)
        try:
            shape = np.empty(x[1], dtype=bool) @ np.empty(y[1], dtype=bool)
        except ValueError:
            raise Retry()
        return b.emit("MatMul", [x[0], y[0]], shape.shape)
    b.emit("MatMul", [x[0], b.constant([inner, m])], list(x[1][:-1]) + [m])


def window(b, extents, kernel):
    rank = len(kernel)
    strides = [b.rng.choice([1, 1, 2, 3]) for _ in range(rank)]
    dilations = [b.rng.choice([1, 1, 2]) for _ in range(rank)]
    pads = [b.rng.choice([0, 0, 1]) for _ in range(2 * rank)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    if any(n + pads[i] + pads[i + rank] < s or pads[i] >= s or pads[i + rank] >= s for i, (n, s) in enumerate(zip(extents, spans))):
        raise Retry()
    sizes = [(n + pads[i] + pads[i + rank] - s) // t + 1 for i, (n, s, t) in enumerate(zip(extents, spans, strides))]
    return strides, dilations, pads, sizes


@operator(3)
def convolution(b):
    x = b.take(rank=(3, 4))
    rank, channels = len(x[1]) - 2, x[1][1]
    kernel = [b.rng.randint(1, 3) for _ in range(rank)]
    group = b.rng.choice([g for g in range(1, channels + 1) if channels % g == 0])
    out = group * b.rng.randint(1, 2)
    strides, dilations, pads, sizes = window(b, x[1][2:], kernel)
    arguments = [x[0], b.constant([out, channels // group] + kernel)] + ([b.constant([out])] if b.rng.random() < 0.6 else [])
    b.emit("Conv", arguments, [x[1][0], out] + sizes, kernel_shape=b.rng.choice([None, kernel]), strides=strides,
           dilations=dilations, pads=pads, group=group)


@operator(1)
def transposed_convolution(b):
    x = b.take(rank=(3, 4))
    rank, channels = len(x[1]) - 2, x[1][1]
    kernel = [b.rng.randint(1, 3) for _ in range(rank)]
    strides = [b.rng.choice([1, 2]) for _ in range(rank)]
    out = b.rng.randint(1, 2)
    sizes = [(n - 1) * s + k for n, s, k in zip(x[1][2:], strides, kernel)]
    arguments = [x[0], b.constant([channels, out] + kernel)] + ([b.constant([out])] if b.rng.random() < 0.5 else [])
    b.emit("ConvTranspose", arguments, [x[1][0], out] + sizes, strides=strides)


@operator(2)
def pooling(b):
    x = b.take(rank=(3, 4))
    rank = len(x[1]) - 2
    op = b.rng.choice(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
    if op.startswith("Global"):
        return b.emit(op, [x[0]], list(x[1][:2]) + [1] * rank)
    kernel = [b.rng.randint(1, 3) for _ in range(rank)]
    strides, dilations, pads, sizes = window(b, x[1][2:], kernel)
    if any(d > 1 for d in dilations):
        raise Retry()
    include = b.rng.choice([0, 1]) if op == "AveragePool" else None
    b.emit(op, [x[0]], list(x[1][:2]) + sizes, kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=include)


@operator(1)
def batch_normalization(b):
    x = b.take(rank=(2, 3, 4))
    c = x[1][1]
    variance = b.constant([c], [abs(b.number()) + 0.01 for _ in range(c)])
    b.emit("BatchNormalization", [x[0], b.constant([c]), b.constant([c]), b.constant([c]), variance], x[1],
           epsilon=b.rng.choice([None, 1e-3, 0.1]))


@operator(2)
def reduction(b):
    x = b.take(test=lambda s: len(s) >= 1)
    op = b.rng.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSumSquare",
                       "ReduceLogSumExp"])
    axes = sorted(b.rng.sample(range(len(x[1])), b.rng.randint(1, len(x[1]))))
    keep = b.rng.choice([0, 1])
    shape = [1 if i in axes else e for i, e in enumerate(x[1]) if keep or i not in axes]
    signed = [a - len(x[1]) if b.rng.random() < 0.3 and b.opset >= 11 else a for a in axes]
    if b.opset >= 18 or (op == "ReduceSum" and b.opset >= 13):
        return b.emit(op, [x[0], b.integers(signed)], shape, keepdims=keep)
    b.emit(op, [x[0]], shape, axes=signed, keepdims=keep)


@operator(2)
def softmax(b):
    x = b.take(test=lambda s: len(s) >= 1)
    axis = b.rng.randrange(len(x[1]))
    b.emit(b.rng.choice(["Softmax", "LogSoftmax"]), [x[0]], x[1], axis=axis)


@operator(1)
def normalization(b):
    op = b.rng.choice(["LayerNormalization", "InstanceNormalization", "LRN"])
    if op == "LayerNormalization":
        if b.opset < 17:
            raise Retry()
        x = b.take(test=lambda s: len(s) >= 1 and s[-1] > 1)
        return b.emit(op, [x[0], b.constant([x[1][-1]]), b.constant([x[1][-1]])], x[1], axis=-1, epsilon=b.rng.choice([None, 1e-3, 0.1]))
    x = b.take(rank=(3, 4))
    if op == "LRN":
        x = b.take(rank=4)
        return b.emit(op, [x[0]], x[1], size=b.rng.choice([1, 3]), alpha=b.rng.choice([None, 0.1, 0.01]), bias=b.rng.choice([None, 2.0]))
    b.emit(op, [x[0], b.constant([x[1][1]]), b.constant([x[1][1]])], x[1], epsilon=b.rng.choice([None, 1e-3, 0.1]))


@operator(4)
def movement(b):
    x = b.take(test=lambda s: len(s) >= 1)
    rank = len(x[1])
    op = b.rng.choice(["Transpose", "Reshape", "Flatten", "Slice", "Concat", "Pad", "Unsqueeze", "Squeeze", "Tile", "Expand", "Gather",
                       "Split", "Trilu", "DepthToSpace", "CumSum"])
    if SINCE.get(op, 0) > b.opset:
        raise Retry()
    if op == "Transpose":
        perm = b.rng.sample(range(rank), rank)
        return b.emit(op, [x[0]], [x[1][p] for p in perm], perm=perm)
    if op == "Reshape":
        size = int(np.prod(x[1]))
        first = b.rng.choice([d for d in range(1, size + 1) if size % d == 0])
        shape = [first, size // first]
        return b.emit(op, [x[0], b.integers(b.rng.choice([shape, [first, -1], [-1, size // first]]))], shape)
    if op == "Flatten":
        axis = b.rng.randint(0, rank)
        return b.emit(op, [x[0]], [int(np.prod(x[1][:axis])), int(np.prod(x[1][axis:]))], axis=axis)
    axis = b.rng.randrange(rank)
    if op == "Slice":
        if b.opset < 10:
            raise Retry()
        n = x[1][axis]
        start, end = sorted(b.rng.sample(range(n + 1), 2)) if n > 0 else (0, 0)
        step = b.rng.choice([1, 1, 2])
        if b.rng.random() < 0.2:
            return b.emit(op, [x[0], b.integers([n - 1]), b.integers([-(2**40)]), b.integers([axis]), b.integers([-1])], x[1])
        length = -(-(end - start) // step)
        shape = [length if i == axis else e for i, e in enumerate(x[1])]
        return b.emit(op, [x[0], b.integers([start]), b.integers([end]), b.integers([axis - rank]), b.integers([step])], shape)
    if op == "Concat":
        other = [t for t in b.pool if t[2] == b.type and len(t[1]) == rank and all(p == q for i, (p, q) in enumerate(zip(t[1], x[1])) if i != axis)]
        parts = [x, b.rng.choice(other)]
        names = [p[0] for p in parts]
        if b.rng.random() < 0.3:
            names.append(b.constant([1 if i == axis else e for i, e in enumerate(x[1])]))
        length = sum(p[1][axis] for p in parts) + len(names) - 2
        return b.emit(op, names, [length if i == axis else e for i, e in enumerate(x[1])], axis=axis)
    if op == "Pad":
        if b.opset < 11:
            raise Retry()
        mode = b.rng.choice(["constant", "edge", "reflect"])
        most = [min(2, e - 1) if mode == "reflect" else 2 for e in x[1]]
        before, after = [b.rng.randint(0, m) for m in most], [b.rng.randint(0, m) for m in most]
        value = [b.constant([])] if mode == "constant" else []
        return b.emit(op, [x[0], b.integers(before + after)] + value, [e + p + q for e, p, q in zip(x[1], before, after)], mode=mode)
    if op == "Unsqueeze":
        shape = list(x[1][:axis]) + [1] + list(x[1][axis:])
        if b.opset >= 13:
            return b.emit(op, [x[0], b.integers([axis])], shape)
        return b.emit(op, [x[0]], shape, axes=[axis])
    if op == "Squeeze":
        if x[1][axis] != 1:
            raise Retry()
        shape = [e for i, e in enumerate(x[1]) if i != axis]
        if b.opset >= 13:
            return b.emit(op, [x[0], b.integers([axis])], shape)
        return b.emit(op, [x[0]], shape, axes=[axis])
    if op == "Tile":
        repeats = [b.rng.randint(1, 2) for _ in x[1]]
        return b.emit(op, [x[0], b.integers(repeats)], [e * r for e, r in zip(x[1], repeats)])
    if op == "Expand":
        shape = [b.rng.randint(1, 3) if e == 1 else e for e in x[1]]
        return b.emit(op, [x[0], b.integers(shape)], shape)
    if op == "Gather":
        count = b.rng.randint(1, 3)
        indices = [b.rng.randint(-x[1][axis], x[1][axis] - 1) if b.opset >= 11 else b.rng.randrange(x[1][axis]) for _ in range(count)]
        return b.emit(op, [x[0], b.integers(indices)], list(x[1][:axis]) + [count] + list(x[1][axis + 1:]), axis=axis)
    if op == "Split":
        if x[1][axis] < 2 or b.opset < 13 or b.opset >= 18 and b.rng.random() < 0.5:
            raise Retry()
        first = b.rng.randint(1, x[1][axis] - 1)
        shapes = [[s if i == axis else e for i, e in enumerate(x[1])] for s in (first, x[1][axis] - first)]
        return b.emit(op, [x[0], b.integers([first, x[1][axis] - first])], shapes, outputs=2, axis=axis)
    if op == "Trilu":
        if rank < 2:
            raise Retry()
        return b.emit(op, [x[0], b.constant([], [b.rng.randint(-1, 1)], INT64)], x[1], upper=b.rng.choice([0, 1]))
    if op == "DepthToSpace":
        if rank != 4 or x[1][1] % 4 or b.opset < 11:
            raise Retry()
        return b.emit(op, [x[0]], [x[1][0], x[1][1] // 4, x[1][2] * 2, x[1][3] * 2], blocksize=2, mode=b.rng.choice(["DCR", "CRD"]))
    b.emit("CumSum", [x[0], b.constant([], [axis], INT64)], x[1], exclusive=b.rng.choice([0, 1]), reverse=b.rng.choice([0, 1]))


@operator(1)
def resize(b):
    if b.opset < 11:
        raise Retry()
    x = b.take(rank=(3, 4))
    shape = list(x[1][:2]) + [b.rng.randint(1, 9) for _ in x[1][2:]]
    mode = b.rng.choice(["nearest", "linear"])
    # onnxruntime computes the linear mode of three axes and more only along the last two.
    transform = b.rng.choice(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
    near = b.rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]) if mode == "nearest" else None
    empty = b.constant([0], [], FLOAT)
    roi = "" if b.opset >= 13 else b.constant([0], [], FLOAT)
    b.emit("Resize", [x[0], roi, "" if b.opset >= 13 else empty, b.integers(shape)], shape, mode=mode,
           coordinate_transformation_mode=transform, nearest_mode=near)


@operator(1)
def comparison(b):
    x = b.take()
    op = b.rng.choice(["Less", "Greater", "Equal"] if b.opset < 12 else ["Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"])
    if op == "Equal" and b.opset < 11:
        raise Retry()
    b.emit(op, [x[0], b.constant(b.broadcast_partner(x[1]))], x[1], kind=BOOL)


@operator(1.5)
def where(b):
    c = b.take(kind=BOOL)
    x, y = b.take(test=lambda s: s == c[1]), b.constant(b.broadcast_partner(c[1]))
    b.emit("Where", [c[0], x[0], y] if b.rng.random() < 0.5 else [c[0], y, x[0]], c[1])


@operator(1)
def choice(b):
    x = b.take(test=lambda s: len(s) >= 1)
    axis = b.rng.randrange(len(x[1]))
    op = b.rng.choice(["ArgMax", "ArgMin", "TopK", "Cast"])
    if op == "Cast":
        t = b.take(kind=b.rng.choice([BOOL, INT64]))
        return b.emit(op, [t[0]], t[1], to=b.type)
    if op == "TopK":
        if b.opset < 11:
            raise Retry()
        k = b.rng.randint(1, x[1][axis])
        shape = [k if i == axis else e for i, e in enumerate(x[1])]
        return b.emit(op, [x[0], b.integers([k])], [shape, shape], kind=[b.type, INT64], outputs=2, axis=axis, largest=b.rng.choice([0, 1]))
    keep = b.rng.choice([0, 1])
    shape = [1 if i == axis else e for i, e in enumerate(x[1]) if keep or i != axis]
    b.emit(op, [x[0]], shape, kind=INT64, axis=axis, keepdims=keep)


@operator(1)
def einsum(b):
    if b.opset < 12:
        raise Retry()
    x = b.take(rank=2)
    m = b.rng.randint(1, 3)
    equation, shape = b.rng.choice([("ij,jk->ik", (x[1][0], m)), ("ij,jk->ki", (m, x[1][0])), ("ij,jk->k", (m,))])
    b.emit("Einsum", [x[0], b.constant([x[1][1], m])], shape, equation=equation)


@operator(1.5)
def unit_in_parts(b):
    """Activations as exporters write them, sometimes with a constant that is a little off."""
    x = b.take()
    off = b.rng.choice([1.0, 1.0, 1.0 + 1e-7, 1.0000006, 0.9999999])
    which = b.rng.choice(["silu", "gelu", "hardswish", "softplus", "mish"])

    def plain(op, *names):
        name = b.name()
        b.nodes.append(helper.make_node(op, list(names), [name]))
        return name

    c = lambda v: b.constant([], [v])

    def literal(v):
        """A Constant node, whose float32 may be read as a root."""
        name = b.name("c")
        array = np.array(v, dtype=helper.tensor_dtype_to_np_dtype(b.type))
        b.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name)))
        return name

    if which == "silu":
        y = plain("Mul", x[0], plain("Sigmoid", x[0]))
        last = ("Mul", [y, c(off)])
    elif which == "gelu":
        e = plain("Erf", plain("Div", x[0], literal(2**0.5 * off)))
        last = ("Mul", [plain("Mul", x[0], plain("Add", e, c(1.0))), c(0.5)])
    elif which == "hardswish":
        shifted = plain("Add", x[0], c(3.0))
        clipped = plain("Clip", shifted, c(0.0), c(6.0)) if b.opset >= 11 else plain("Relu", shifted)
        last = ("Div", [plain("Mul", x[0], clipped), c(6.0 * off)])
    elif which == "softplus":
        last = ("Log", [plain("Add", plain("Exp", x[0]), c(off))])
    else:
        last = ("Mul", [x[0], plain("Tanh", plain("Softplus", x[0]))])
    b.emit(last[0], last[1], x[1])


SHAPES = [[3], [1, 4], [2, 3], [1, 2, 5], [1, 2, 4, 4], [1, 4, 3, 3], [2, 1, 3], [1, 1, 6, 5]]


def model(seed, style="tame", most=8):
    """A model, its inputs' shapes and element type."""
    b = Builder(seed, style)
    for i in range(b.rng.choice([1, 1, 1, 2])):
        shape = b.rng.choice(SHAPES)
        name = f"x{i}"
        b.inputs.append(helper.make_tensor_value_info(name, b.type, shape))
        b.pool.append((name, tuple(shape), b.type))
    names, weights = list(OPERATORS), [w for _, w in OPERATORS.values()]
    wanted, tries = b.rng.randint(1, most), 0
    done = 0
    while done < wanted and tries < 200:
        tries += 1
        function = OPERATORS[b.rng.choices(names, weights)[0]][0]
        mark = (len(b.nodes), len(b.initializers), len(b.pool))
        try:
            function(b)
        except Retry:
            del b.nodes[mark[0]:], b.initializers[mark[1]:], b.pool[mark[2]:]
            continue
        if int(np.prod(b.pool[-1][1])) > 150:
            del b.nodes[mark[0]:], b.initializers[mark[1]:], b.pool[mark[2]:]
            continue
        done += 1
    used = {n for node in b.nodes for n in node.input}
    computed = [t for t in b.pool if not t[0].startswith("x")]
    ends = [t for t in computed if t[0] not in used] or computed[-1:]
    if not ends:
        return model(f"{seed}/again", style, most)
    outputs = [helper.make_tensor_value_info(n, k, s) for n, s, k in ends]
    graph = helper.make_graph(b.nodes, "g", b.inputs, outputs, b.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", b.opset)], ir_version=8)


def inputs_of(model, seed):
    """One point for every input, in its type; ties and large values are frequent."""
    rng = random.Random(f"{seed}/inputs")
    points = {}
    for value in model.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        style = rng.random()
        draw = (lambda: float(rng.randint(-2, 2))) if style < 0.2 else (lambda: rng.gauss(0, 1)) if style < 0.85 else (lambda: rng.gauss(0, 30))
        points[value.name] = np.array([draw() for _ in range(int(np.prod(shape)))]).astype(dtype).reshape(shape)
    return points
