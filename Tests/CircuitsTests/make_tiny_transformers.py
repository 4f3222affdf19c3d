"""Writes Fixtures/tiny-gpt2 and Fixtures/tiny-bert: the same random weights as a HuggingFace folder and as ONNX.

The ONNX graphs are written the way common exporters write them: joint or separate projections, flattened Gemm, Where or
Add masks, GELU and LayerNorm in parts. Needs numpy and onnx.
"""
import json, os, struct
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Fixtures")
rng = np.random.default_rng(7)
T, D, H, L, V, I = 6, 16, 4, 2, 20, 24
d = D // H


def weight(*shape):
    return (rng.standard_normal(shape) * 0.4).astype(np.float32)


def save_folder(name, config, tensors):
    os.makedirs(os.path.join(here, name), exist_ok=True)
    header, data = {}, b""
    for key, value in tensors.items():
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    with open(os.path.join(here, name, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    with open(os.path.join(here, name, "config.json"), "w") as f:
        json.dump(config, f)


class Writer:
    def __init__(self):
        self.nodes, self.inits, self.count = [], [], 0

    def const(self, value):
        self.count += 1
        name = f"c{self.count}"
        self.inits.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"{kind.lower()}{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def f(self, x):
        return self.const(np.float32(x))

    def reshape(self, x, *shape):
        return self.op("Reshape", x, self.const(np.array(shape, np.int64)))

    def norm(self, x, gain, shift, epsilon):
        axes = self.const(np.array([-1], np.int64))
        centered = self.op("Sub", x, self.op("ReduceMean", x, axes))
        variance = self.op("ReduceMean", self.op("Mul", centered, centered), axes)
        unit = self.op("Div", centered, self.op("Sqrt", self.op("Add", variance, self.f(epsilon))))
        return self.op("Add", self.op("Mul", unit, self.const(gain)), self.const(shift))

    def save(self, name, inputs, output, shape):
        graph = helper.make_graph(self.nodes, name, inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)], self.inits)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, os.path.join(here, name))


def ids():
    return helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, T])


def gpt2():
    w = {"wte.weight": weight(V, D), "wpe.weight": weight(T, D)}
    for l in range(L):
        for norm in ["ln_1", "ln_2"]:
            w[f"h.{l}.{norm}.weight"], w[f"h.{l}.{norm}.bias"] = 1 + weight(D), weight(D)
        for name, shape in [("attn.c_attn", (D, 3 * D)), ("attn.c_proj", (D, D)), ("mlp.c_fc", (D, I)), ("mlp.c_proj", (I, D))]:
            w[f"h.{l}.{name}.weight"], w[f"h.{l}.{name}.bias"] = weight(*shape), weight(shape[1])
    w["ln_f.weight"], w["ln_f.bias"] = 1 + weight(D), weight(D)
    config = dict(model_type="gpt2", n_layer=L, n_head=H, n_embd=D, n_inner=I, n_positions=T, vocab_size=V,
                  activation_function="gelu_new", layer_norm_epsilon=1e-5, tie_word_embeddings=True)
    save_folder("tiny-gpt2", config, {"transformer." + k: v for k, v in w.items()})
    g = Writer()

    def conv1d(x, name):
        out = w[name + ".weight"].shape[1]
        flat = g.reshape(x, -1, w[name + ".weight"].shape[0])
        return g.reshape(g.op("Gemm", flat, g.const(w[name + ".weight"]), g.const(w[name + ".bias"])), 1, T, out)

    mask = g.const(np.tril(np.ones((1, 1, T, T), bool)))
    x = g.op("Add", g.op("Gather", g.const(w["wte.weight"]), "input_ids"), g.const(w["wpe.weight"][None]))
    for l in range(L):
        h = f"h.{l}."
        n = g.norm(x, w[h + "ln_1.weight"], w[h + "ln_1.bias"], 1e-5)
        q, k, v = g.op("Split", conv1d(n, h + "attn.c_attn"), g.const(np.array([D, D, D], np.int64)), outputs=3, axis=2)
        q, k, v = [g.op("Transpose", g.reshape(y, 1, T, H, d), perm=p) for y, p in [(q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3])]]
        scores = g.op("Where", mask, g.op("Div", g.op("MatMul", q, k), g.f(np.sqrt(d))), g.f(np.finfo(np.float32).min))
        z = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        x = g.op("Add", conv1d(g.reshape(z, 1, T, D), h + "attn.c_proj"), x)
        u = conv1d(g.norm(x, w[h + "ln_2.weight"], w[h + "ln_2.bias"], 1e-5), h + "mlp.c_fc")
        inner = g.op("Mul", g.op("Add", u, g.op("Mul", g.op("Pow", u, g.f(3)), g.f(0.044715))), g.f(np.sqrt(2 / np.pi)))
        act = g.op("Mul", g.op("Mul", u, g.f(0.5)), g.op("Add", g.op("Tanh", inner), g.f(1)))
        x = g.op("Add", x, conv1d(act, h + "mlp.c_proj"))
    n = g.norm(x, w["ln_f.weight"], w["ln_f.bias"], 1e-5)
    g.save("tiny-gpt2.onnx", [ids()], g.op("MatMul", n, g.const(np.ascontiguousarray(w["wte.weight"].T))), [1, T, V])


def bert():
    w = {"embeddings.word_embeddings.weight": weight(V, D), "embeddings.position_embeddings.weight": weight(T, D),
         "embeddings.token_type_embeddings.weight": weight(2, D)}

    def norm(name):
        w[name + ".weight"], w[name + ".bias"] = 1 + weight(D), weight(D)

    def dense(name, outputs, inputs):
        w[name + ".weight"], w[name + ".bias"] = weight(outputs, inputs), weight(outputs)

    norm("embeddings.LayerNorm")
    for l in range(L):
        e = f"encoder.layer.{l}."
        for name in ["query", "key", "value"]:
            dense(e + "attention.self." + name, D, D)
        dense(e + "attention.output.dense", D, D)
        norm(e + "attention.output.LayerNorm")
        dense(e + "intermediate.dense", I, D)
        dense(e + "output.dense", D, I)
        norm(e + "output.LayerNorm")
    dense("pooler.dense", D, D)
    head = {"classifier.weight": weight(2, D), "classifier.bias": weight(2)}
    config = dict(model_type="bert", num_hidden_layers=L, num_attention_heads=H, hidden_size=D, intermediate_size=I,
                  max_position_embeddings=T, vocab_size=V, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-6)
    save_folder("tiny-bert", config, {**{"bert." + k: v for k, v in w.items()}, **head})
    g = Writer()

    def linear(x, name, tensors=w):
        return g.op("Add", g.op("MatMul", x, g.const(np.ascontiguousarray(tensors[name + ".weight"].T))), g.const(tensors[name + ".bias"]))

    def norm_of(x, name):
        return g.op("LayerNormalization", x, g.const(w[name + ".weight"]), g.const(w[name + ".bias"]), axis=-1, epsilon=1e-6)

    mask = g.op("Cast", g.op("Unsqueeze", "attention_mask", g.const(np.array([1, 2], np.int64))), to=TensorProto.FLOAT)
    mask = g.op("Mul", g.op("Sub", g.f(1), mask), g.f(-10000))
    x = g.op("Add", g.op("Gather", g.const(w["embeddings.word_embeddings.weight"]), "input_ids"),
             g.op("Gather", g.const(w["embeddings.token_type_embeddings.weight"]), "token_type_ids"))
    x = norm_of(g.op("Add", x, g.const(w["embeddings.position_embeddings.weight"][None])), "embeddings.LayerNorm")
    for l in range(L):
        e = f"encoder.layer.{l}."
        q, k, v = [g.op("Transpose", g.reshape(linear(x, e + "attention.self." + name), 1, T, H, d), perm=[0, 2, 1, 3])
                   for name in ["query", "key", "value"]]
        scores = g.op("Div", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), g.f(np.sqrt(d)))
        pattern = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
        z = g.reshape(g.op("Transpose", g.op("MatMul", pattern, v), perm=[0, 2, 1, 3]), 1, T, D)
        a = norm_of(g.op("Add", linear(z, e + "attention.output.dense"), x), e + "attention.output.LayerNorm")
        u = linear(a, e + "intermediate.dense")
        erf = g.op("Add", g.op("Erf", g.op("Div", u, g.f(np.sqrt(2)))), g.f(1))
        act = g.op("Mul", g.op("Mul", u, erf), g.f(0.5))
        x = norm_of(g.op("Add", linear(act, e + "output.dense"), a), e + "output.LayerNorm")
    first = g.op("Gather", x, g.const(np.int64(0)), axis=1)
    inputs = [ids()] + [helper.make_tensor_value_info(n, TensorProto.INT64, [1, T]) for n in ["attention_mask", "token_type_ids"]]
    g.save("tiny-bert.onnx", inputs, linear(g.op("Tanh", linear(first, "pooler.dense")), "classifier", head), [1, 2])


gpt2()
bert()
