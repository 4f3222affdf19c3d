"""Mutated files for every reader of the two commands.

Whatever a file holds, a command answers (0), calls it wrong (2) or refuses an operator (3), says why in few words, within
seconds and two gigabytes. Mutations know the structure: numbers and names of text formats, fields of ONNX protos, the JSON
inside HDF5 attributes and safetensors headers; bytes and lengths of everything.
"""

import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import time

import onnx

import graphs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NETWORKS = os.path.join(ROOT, "networks")
SECONDS, BYTES = 12, 3 << 30
NUMBERS = ["-1", "0", "1", "4611686018427387904", "9223372036854775808", "1e400", "-1e400", "1e-400", "NaN", "65536", "1000000007",
           "0.1", "-0", "00", "1/0", "2147483648", "\"x\"", "null", "[]", "{}", "true"]
TEXT_QUERY = """(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 0)) (assert (<= X_0 1)) (assert (>= X_1 -0.5)) (assert (<= X_1 0.5))
(assert (or (and (<= Y_0 0.1) (>= Y_0 -1e3)) (and (>= Y_0 7.5))))
"""
TEXT_QUERY_2 = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input X float32 [1,2])
  (declare-output Y float32 [1,1]))
(assert (and (<= X[0,0] 1) (>= X[0,0] 0) (<= X[0,1] 0.5) (>= X[0,1] -0.5)))
(assert (or (<= Y[0,0] 0.1) (>= Y[0,0] 7.5)))
"""


def tiny_network(path):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    w = numpy_helper.from_array(np.array([[1.5, -2.0]], dtype=np.float32), "w")
    nodes = [helper.make_node("Gemm", ["X", "w"], ["h"], transB=1), helper.make_node("Relu", ["h"], ["Y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, 2])],
                              [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 1])], [w])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


NNET = """// a network
2,2,1,3,
2,3,1,
0,
-1.0,-1.0,
1.0,1.0,
0.0,0.0,0.0,
1.0,1.0,1.0,
0.5,-0.25,
1.0,2.0,
-1.5,0.125,
0.1,
0.2,
0.3,
1.0,-1.0,0.5,
0.0,
"""


def prepared(kind, folder, rng):
    """A healthy file of a kind: (file to mutate, command after the binary, which binary)."""
    join = lambda name: os.path.join(folder, name)
    tiny_network(join("tiny.onnx"))
    shipped = lambda name: os.path.join(NETWORKS, name)
    if kind == "onnx":
        if rng.random() < 0.5:
            onnx.save(graphs.model(rng.randrange(10**6)), join("m.onnx"))
        else:
            shutil.copy(shipped(rng.choice(["digits-mlp.onnx", "digits-cnn.onnx", "digits-transformer.onnx"])), join("m.onnx"))
        return "m.onnx", rng.choice([["run", join("m.onnx")], ["inspect", join("m.onnx")],
                                     ["bounds", join("m.onnx"), "0.01", "--method", rng.choice(["ibp", "crown"])]]), "nnverify"
    if kind == "nnet":
        open(join("m.nnet"), "w").write(NNET)
        return "m.nnet", ["run", join("m.nnet")], "nnverify"
    if kind == "vnnlib":
        open(join("q.vnnlib"), "w").write(rng.choice([TEXT_QUERY, TEXT_QUERY_2]))
        return "q.vnnlib", ["verify", join("q.vnnlib"), "--network", join("tiny.onnx"), "--timeout", "2"], "nnverify"
    if kind == "region":
        json.dump({"id": "r", "network": "tiny.onnx", "region": {"lower": ["0", "0"], "upper": ["1", "1/2"]},
                   "violation": [[{"coeffs": {"0": "1"}, "op": ">=", "rhs": "7/2"}]]}, open(join("r.json"), "w"))
        return "r.json", ["smt", join("r.json"), "--timeout", "2"] + rng.choice([[], ["--proof", join("p.proof")]]), "nnverify"
    if kind == "input":
        shutil.copy(shipped("digits-mlp.input.json"), join("x.json"))
        return "x.json", ["run", shipped("digits-mlp.onnx"), "--input", join("x.json")], "nnverify"
    if kind == "npy":
        import numpy as np
        np.save(join("x.npy"), np.linspace(0, 1, 64).astype(rng.choice(["<f4", ">f8", "<i4", "|u1"])).reshape(1, 64))
        return "x.npy", ["run", shipped("digits-mlp.onnx"), "--input", join("x.npy")], "nnverify"
    if kind == "box":
        json.dump({"shape": [1, 2], "lower": [0, 0], "upper": [1, 0.5]}, open(join("b.json"), "w"))
        return "b.json", ["bounds", join("tiny.onnx"), "--box", join("b.json")], "nnverify"
    if kind == "graphs":
        document = json.load(open(shipped("gin-ba2motifs.graphs.json")))
        key = next(k for k, v in document.items() if isinstance(v, list) and v and isinstance(v[0], dict))
        document[key] = document[key][:2]
        json.dump(document, open(join("g.json"), "w"))
        return "g.json", rng.choice([["fidelity", shipped("gin-ba2motifs.onnx"), join("g.json"), "--explanation", "truth"],
                                     ["graph-certify", shipped("gin-ba2motifs.onnx"), join("g.json"), "--perturb", "edges:1"]]), "nnverify"
    if kind == "keras":
        import h5py
        import numpy as np
        config = {"class_name": "Sequential", "config": {"name": "s", "layers": [
            {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 2], "dtype": "float32", "name": "i"}},
            {"class_name": "Dense", "config": {"name": "d", "units": 3, "activation": "relu", "use_bias": True}},
            {"class_name": "Dense", "config": {"name": "e", "units": 1, "activation": "linear", "use_bias": True}}]}}
        text = json.dumps(config)
        if rng.random() < 0.6:
            text = mutated_text(text, rng)
        with h5py.File(join("m.h5"), "w") as f:
            f.attrs["model_config"] = text.encode()
            f.attrs["keras_version"], f.attrs["backend"] = b"2.9.0", b"tensorflow"
            group = f.create_group("model_weights")
            group.attrs["layer_names"] = [b"d", b"e"]
            for name, shape in (("d", (2, 3)), ("e", (3, 1))):
                g = group.create_group(name)
                g.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
                g[f"{name}/kernel:0"], g[f"{name}/bias:0"] = np.ones(shape, "float32"), np.ones(shape[1:], "float32")
        return "m.h5", ["run", join("m.h5")], "nnverify"
    if kind == "transformer":
        shutil.copytree(shipped("film-sentiment"), join("t"))
        part = rng.choice(["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"])
        return os.path.join("t", part), ["attribute", join("t"), "--text", "a wonderful film"], "cdt"
    if kind == "prompts":
        shutil.copy(os.path.join(shipped("indirect-object"), "prompts.jsonl"), join("p.jsonl"))
        return "p.jsonl", ["baseline", shipped("indirect-object"), "--prompts", join("p.jsonl"), "--output", join("means.json")], "cdt"
    if kind == "edges":
        open(join("e.csv"), "w").write("source,target\n0,1\n1,2\n2,0\n")
        open(join("f.csv"), "w").write("\n".join(",".join("1" for _ in range(10)) for _ in range(3)) + "\n")
        return rng.choice(["e.csv", "f.csv"]), ["fidelity", shipped("gin-ba2motifs.onnx"), join("e.csv"), "--features", join("f.csv"),
                                                "--explanation", join("e.csv")], "nnverify"
    raise KeyError(kind)


KINDS = ["onnx", "onnx", "onnx", "nnet", "vnnlib", "vnnlib", "region", "input", "npy", "box", "graphs", "keras", "keras", "transformer", "prompts", "edges"]


def mutated_text(text, rng):
    for _ in range(rng.randint(1, 3)):
        tokens = list(re.finditer(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[A-Za-z_]+|[\[\](){}\",:]", text))
        if not tokens:
            return text
        t = rng.choice(tokens)
        kind = rng.random()
        if kind < 0.45:
            new = rng.choice(NUMBERS)
        elif kind < 0.6:
            new = ""
        elif kind < 0.75:
            new = t.group() * rng.choice([2, 3, 1000])
        elif kind < 0.9:
            new = rng.choice(tokens).group()
        else:
            new = rng.choice(["\0", "\x1b[31m", "é", "\r\n", "(", ")", "[" * 5000, "{\"a\":" * 3000, "\ud800".encode("utf-8", "surrogatepass").decode("latin1")])
        text = text[: t.start()] + new + text[t.end():]
    return text


def mutated_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if not data:
            break
        kind, at = rng.random(), rng.randrange(len(data))
        if kind < 0.35:
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.55:
            data[at] = rng.choice([0, 1, 127, 128, 255])
        elif kind < 0.7:
            del data[at:]
        elif kind < 0.85:
            size = rng.choice([4, 8])
            data[at:at + size] = struct.pack("<q", rng.choice([-1, 2**31, 2**40, 2**62, 0, 10**6]))[:size]
        else:
            end = min(len(data), at + rng.randint(1, 64))
            data[at:at] = data[at:end]
    return bytes(data)


def mutated_proto(data, rng):
    """An ONNX model with fields changed where they hurt."""
    model = onnx.load_model_from_string(data)
    g = model.graph
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(10)
        big = rng.choice([-1, 0, 2**31, 2**40, 2**62, 65535, 4_000_000])
        if kind == 0 and g.initializer:
            t = rng.choice(g.initializer)
            if t.dims:
                t.dims[rng.randrange(len(t.dims))] = big
        elif kind == 1 and g.initializer:
            rng.choice(g.initializer).data_type = rng.randrange(0, 24)
        elif kind == 2 and g.node:
            n = rng.choice(g.node)
            if n.input:
                n.input[rng.randrange(len(n.input))] = rng.choice([o for m in g.node for o in m.output] + ["", "nothing"])
        elif kind == 3 and g.node:
            for a in rng.choice(g.node).attribute:
                if a.ints:
                    a.ints[rng.randrange(len(a.ints))] = big
                elif a.type == onnx.AttributeProto.INT:
                    a.i = big
                elif a.type == onnx.AttributeProto.FLOAT:
                    a.f = rng.choice([float("nan"), float("inf"), -1.0, 0.0, 1e38])
        elif kind == 4 and g.node:
            rng.choice(g.node).op_type = rng.choice(list({n.op_type for n in g.node}) + ["Nope", "Loop", "Resize", "TopK", "Einsum", ""])
        elif kind == 5 and g.input:
            d = rng.choice(g.input).type.tensor_type.shape.dim
            if d:
                d[rng.randrange(len(d))].dim_value = big
        elif kind == 6 and g.node:
            del g.node[rng.randrange(len(g.node))]
        elif kind == 7 and model.opset_import:
            model.opset_import[0].version = rng.choice([0, 1, 6, 7, 30, 10**6, -1])
        elif kind == 8 and g.initializer:
            t = rng.choice(g.initializer)
            raw = t.raw_data
            t.raw_data = rng.choice([b"", raw[:-1], raw + b"\0" * 7, b"\xff" * len(raw), b"\0\0\x80\x7f" * (len(raw) // 4)])
        elif kind == 9 and g.output:
            rng.choice(g.output).name = rng.choice(["nothing", "", "\x1b]0;x\x07", g.input[0].name if g.input else "x"])
    return model.SerializeToString()


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def case(binaries, seed, folder):
    rng = random.Random(f"{seed}/file")
    kind = rng.choice(KINDS)
    name, arguments, binary = prepared(kind, folder, rng)
    path = os.path.join(folder, name)
    data = open(path, "rb").read()
    textual = name.rsplit(".", 1)[-1] in ("json", "jsonl", "vnnlib", "nnet", "csv", "txt")
    if kind == "onnx" and rng.random() < 0.6:
        data = mutated_proto(data, rng)
    elif textual and rng.random() < 0.75:
        data = mutated_text(data.decode("utf-8", "replace"), rng).encode("utf-8", "surrogatepass")
    elif not (kind == "keras" and rng.random() < 0.6):
        data = mutated_bytes(data, rng)
    open(path, "wb").write(data)
    start = time.monotonic()
    environment = dict(os.environ, LC_ALL="C.UTF-8")
    try:
        done = subprocess.run([binaries[binary]] + arguments, capture_output=True, timeout=SECONDS, preexec_fn=limited, env=environment,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return 1, f"{kind}: no answer within {SECONDS} s: {' '.join(arguments)}"
    seconds = time.monotonic() - start
    message = done.stderr.decode("utf-8", "replace")
    if done.returncode not in (0, 2, 3):
        return 1, f"{kind}: exit status {done.returncode}: {' '.join(arguments)}: {message[-200:]}"
    if done.returncode and not message.strip():
        return 1, f"{kind}: exit status {done.returncode} without a word"
    if done.returncode and (len(message) > 2000 or len(message.strip().splitlines()) > 4):
        return 1, f"{kind}: the error is not one clear line: {message[:300]}"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", message + done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")):
        return 1, f"{kind}: a control character of the file reaches the terminal"
    return 1, None
