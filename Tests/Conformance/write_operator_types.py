"""Writes Sources/Importers/ONNX/OnnxTypeConstraints+Table.swift from the operator schemas of the Python package onnx.

    python3 Tests/Conformance/write_operator_types.py
"""
import os

import onnx

# The order of the bits is that of ElementType.allCases; then strings.
TYPES = ["float", "double", "float16", "bfloat16", "int8", "int16", "int32", "int64",
         "uint8", "uint16", "uint32", "uint64", "bool", "string"]
DOMAINS = {"", "ai.onnx.ml", "ai.onnx.preview"}


def mask(types):
    """The types as bits in hexadecimal, or '-' where some are no tensors."""
    if any(not t.startswith("tensor(") for t in types):
        return "-"
    return format(sum(1 << i for i, t in enumerate(TYPES) if f"tensor({t})" in types), "x")


def line(schema):
    variables = {c.type_param_str: mask(c.allowed_type_strs) for c in schema.type_constraints}
    used, inputs = {}, []
    for formal in schema.inputs:
        name = formal.type_str
        if name not in variables:
            inputs.append(mask([name]))
        elif variables[name] == "-":
            inputs.append("-")
        else:
            used[name] = variables[name]
            inputs.append(name)
        if formal.option == onnx.defs.OpSchema.FormalParameterOption.Variadic:
            inputs[-1] = (inputs[-1] if formal.is_homogeneous else "-") + "*"
    return " ".join([",".join(inputs) or "-"] + [f"{k}={v}" for k, v in sorted(used.items())])


def main():
    known = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in DOMAINS and not schema.deprecated:
            key = (f"{schema.domain}::" if schema.domain else "") + schema.name
            known.setdefault(key, {})[schema.since_version] = line(schema)
    rows = []
    for key in sorted(known):
        last = None
        # What opset 7, the oldest that is read, made of the operator, and what came later.
        first = max((v for v in known[key] if v <= 7), default=0) if "::" not in key else 0
        for version in sorted(v for v in known[key] if v >= first):
            if known[key][version] != last:
                rows.append(f"    {key} {version} {known[key][version]}")
            last = known[key][version]
    path = os.path.join(os.path.dirname(__file__), "../../Sources/Importers/ONNX/OnnxTypeConstraints+Table.swift")
    with open(path, "w") as file:
        file.write("// Written by Tests/Conformance/write_operator_types.py: operator, version since, the inputs' types or type\n")
        file.write("// variables (`*` for all that follow, `-` for anything), the variables' types as bits.\n")
        file.write("extension OnnxTypeConstraints {\n  static let rows = \"\"\"\n")
        file.write("\n".join(rows))
        file.write("\n    \"\"\"\n}\n")


main()
