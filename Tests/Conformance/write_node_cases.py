#!/usr/bin/env python3
"""Writes the official ONNX backend node tests to a folder.

    pip install onnx==1.23.2
    python3 Tests/Conformance/write_node_cases.py FOLDER
    nnverify conformance FOLDER

Every case whose graph inputs and outputs are tensors becomes a folder FOLDER/NAME with model.onnx,
input_0.pb, input_1.pb, ... and output_0.pb, ... (serialized TensorProto messages). FOLDER/index.json lists
name, operator, numbers of inputs and outputs, rtol and atol of each case.
"""

import json
import os
import re
import sys
import warnings


def is_tensor(value):
    return value.type.WhichOneof("value") == "tensor_type"


def tensor_proto(value, info, onnx, numpy_helper):
    """A case stores its values as arrays, or as messages where numpy has no type for them."""
    if isinstance(value, onnx.TensorProto):
        return value
    import numpy

    return numpy_helper.from_array(numpy.asarray(value), info.name)


def operators(cases):
    """The operator that each case is about: its only node's, or for an expanded function the function's."""
    named = {}
    for case in cases:
        kinds = {node.op_type for node in case.model.graph.node}
        if "_expanded" not in case.name and len(kinds) == 1:
            named[case.name] = kinds.pop()
    result = {}
    for case in cases:
        base = re.sub(r"_expanded.*$", "", case.name)
        kinds = sorted({node.op_type for node in case.model.graph.node})
        result[case.name] = named.get(base) or "+".join(kinds[-3:])
    return result


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    warnings.filterwarnings("ignore")
    import onnx
    from onnx import numpy_helper
    from onnx.backend.test.case.node import collect_testcases

    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    cases = collect_testcases(None)
    tensors_only = []
    for case in cases:
        graph = case.model.graph
        if all(is_tensor(value) for value in [*graph.input, *graph.output]):
            tensors_only.append(case)
    operator = operators(tensors_only)
    index = []
    for case in tensors_only:
        graph = case.model.graph
        inputs, outputs = case.data_sets[0]
        target = os.path.join(folder, case.name)
        os.makedirs(target, exist_ok=True)
        with open(os.path.join(target, "model.onnx"), "wb") as file:
            file.write(case.model.SerializeToString())
        for kind, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for number, (value, info) in enumerate(zip(values, infos)):
                proto = tensor_proto(value, info, onnx, numpy_helper)
                with open(os.path.join(target, f"{kind}_{number}.pb"), "wb") as file:
                    file.write(proto.SerializeToString())
        index.append({
            "name": case.name,
            "operator": operator[case.name],
            "inputs": len(inputs),
            "outputs": len(outputs),
            "rtol": case.rtol,
            # Outputs of Fourier transforms carry float32 noise of their own of up to 2e-7.
            "atol": max(case.atol, 1e-6) if operator[case.name] in ("DFT", "STFT") else case.atol,
        })
    with open(os.path.join(folder, "index.json"), "w") as file:
        json.dump({"onnx": onnx.__version__, "cases": index}, file, indent=1)
    print(f"{len(index)} of {len(cases)} cases written to {folder}")


if __name__ == "__main__":
    main()
