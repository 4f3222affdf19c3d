"""Writes Fixtures/field-values.json: onnxruntime's outputs for the networks of ../shared/field that are compared with it.

    python3 Tests/ImportersTests/make_field_values.py ../shared/field
"""
import glob
import json
import os
import sys

import numpy as np
import onnxruntime

# Where runtimes and the standard's own node tests differ: the resized length of align_corners under a fractional scale
# (the node tests take the fraction), and what is refused (dynamic and fused quantisation, statistics per position).
LEFT_OUT = ["align_corners_sc", "b12-qdq/dyn", "static_qop", "bn7_sp0"]
FOLDERS = ["b09-bn-dynamic", "b10-avgpool-ceil", "b11-resize", "b12-qdq", "b27-old-opsets"]


def main(root):
    onnxruntime.set_default_logger_severity(4)
    result = {}
    for folder in FOLDERS:
        for path in sorted(glob.glob(os.path.join(root, folder, "*.onnx"))):
            if any(name in path for name in LEFT_OUT):
                continue
            stem = path[: -len(".onnx")]
            data = stem + ".npy" if os.path.exists(stem + ".npy") else os.path.join(root, folder, "x1.npy")
            if not os.path.exists(data):
                continue
            x = np.load(data)
            try:
                session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                outputs = session.run(None, {session.get_inputs()[0].name: x})
            except Exception as error:  # What onnxruntime refuses has no value to compare with.
                print(folder, os.path.basename(path), str(error)[:100])
                continue
            result[f"{folder}/{os.path.basename(path)}"] = {
                "input": {"shape": list(x.shape), "values": x.astype(float).ravel().tolist()},
                "outputs": [np.asarray(y).astype(float).ravel().tolist() for y in outputs],
            }
    target = os.path.join(os.path.dirname(__file__), "Fixtures/field-values.json")
    with open(target, "w") as file:
        json.dump(result, file, separators=(",", ":"))
    print(len(result), "networks")


main(sys.argv[1])
