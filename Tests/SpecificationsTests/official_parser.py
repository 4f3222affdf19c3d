"""Writes queries, good and bad, and what the official VNN-LIB parser says of each.

Usage: official_parser.py SEED COUNT [FILE ...]
Prints one JSON object a line: {"name", "text", "accepted", "tensors", "clauses"}. Files are read as they are;
COUNT further queries are generated: well-formed ones, and well-formed ones with one damage each.
"""
import json
import os
import random
import sys

import vnnlib

FLOATS = ["float32", "float64", "float16", "bfloat16", "real"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint32"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def shape(self):
        r = self.random
        return [r.randint(1, 4) for _ in range(r.choice([0, 1, 1, 2, 2, 3]))]

    def space(self):
        return self.random.choice([" ", " ", " ", "  ", "\n ", "\t", " ; a comment )\n"])

    def literal(self, type):
        r = self.random
        if type.startswith("uint"):
            return str(r.randint(0, 99))
        if type in INTEGERS:
            return str(r.randint(-99, 99))
        return "%s%d.%s" % (r.choice(["", "-"]), r.randint(0, 20), "".join(r.choice("0123456789") for _ in range(r.randint(1, 25))))

    def variable(self, tensors, type):
        r = self.random
        name, _, shape, _ = r.choice([t for t in tensors if t[1] == type])
        if not shape:
            return name
        return name + "[" + ",".join(str(r.randrange(n)) for n in shape) + "]"

    def arithmetic(self, tensors, type, depth=0):
        r = self.random
        kind = r.random()
        if depth > 3 or kind < 0.35:
            return self.variable(tensors, type)
        if kind < 0.6:
            return self.literal(type)
        if kind < 0.7:
            return "(-%s%s)" % (self.space(), self.arithmetic(tensors, type, depth + 1))
        op = r.choice("+-*")
        if op == "*":  # one factor is a number, so that most expressions stay linear
            parts = [self.literal(type), self.arithmetic(tensors, type, depth + 1)]
        else:
            parts = [self.arithmetic(tensors, type, depth + 1) for _ in range(r.randint(2, 3))]
        return "(" + op + self.space() + self.space().join(parts) + ")"

    def formula(self, tensors, depth=0):
        r = self.random
        if depth < 3 and r.random() < 0.45:
            parts = [self.formula(tensors, depth + 1) for _ in range(r.randint(1, 3))]
            return "(" + r.choice(["and", "or"]) + self.space() + self.space().join(parts) + ")"
        type = r.choice(sorted({t[1] for t in tensors}))
        left, right = self.arithmetic(tensors, type), self.arithmetic(tensors, type)
        return "(%s%s%s%s%s)" % (r.choice(["<", "<=", ">", ">=", "==", "!="]), self.space(), left, self.space(), right)

    def query(self):
        r = self.random
        tensors, networks = [], []
        for n in range(r.choice([1, 1, 1, 2, 3])):
            name = "net%d" % n
            alike = None
            if networks and r.random() < 0.6:
                alike = r.choice([m for m in networks if m[1] is None])
            lines, mine = [], []
            if alike:
                lines.append("(%s %s)" % (r.choice(["equal-to", "isomorphic-to"]), alike[0]))
                plan = [(t[1], t[2], t[3]) for t in alike[2] if t[3] != "hidden"]
            else:
                type = r.choice(FLOATS + ["float32", "real"] + INTEGERS[:1])
                plan = [(type, self.shape(), "input") for _ in range(r.randint(1, 2))]
                plan += [(r.choice([type, "float32"]), self.shape(), "hidden") for _ in range(r.choice([0, 0, 1]))]
                plan += [(r.choice([type, type, "int64"]), self.shape(), "output") for _ in range(r.randint(1, 2))]
            for k, (type, shape, kind) in enumerate(plan):
                tensor = ("%s%d_%d" % (kind[0].upper(), n, k), type, shape, kind)
                mine.append(tensor)
                quoted = ' "/layer %d;(x"' % k if kind == "hidden" else ""
                lines.append("(declare-%s %s %s [%s]%s)" % (kind, tensor[0], type, ",".join(map(str, shape)), quoted))
            networks.append((name, alike, mine))
            tensors += mine
            lines = [self.space() + line for line in lines]
            networks[-1] += ("(declare-network %s%s)" % (name, "".join(lines)),)
        text = r.choice(["", "; a query\n"]) + "(vnnlib-version <2.0>)\n"
        text += "\n".join(m[3] for m in networks) + "\n"
        for _ in range(r.randint(1, 4)):
            text += "(assert" + self.space() + self.formula(tensors) + ")\n"
        return text

    def damaged(self, text):
        r = self.random
        kind = r.randrange(14)
        at = r.randrange(len(text))
        brackets = [i for i, c in enumerate(text) if c in "()[]"]
        if kind == 0:
            return text[:at]
        if kind == 1:
            i = r.choice(brackets)
            return text[:i] + text[i + 1:]
        if kind == 2:
            i = r.choice(brackets)
            return text[:i] + text[i] + text[i:]
        if kind == 3:
            i = r.choice(brackets)
            return text[:i] + r.choice("()[]") + text[i + 1:]
        if kind == 4:
            return text[:at] + r.choice("()[];\"<>=!+-*,.x1 \n") + text[at:]
        if kind == 5:
            return text[:at] + text[at + 1:]
        replacements = [
            ("assert", r.choice(["asert", "assume", "Assert"])), ("and", "&&"), ("or", "not"), ("<=", r.choice(["=<", "=", "<>"])),
            ("declare-output", "declare-input"), ("declare-input", "declare-output"), ("<2.0>", r.choice(["<1.0>", "<3.1>", "2.0", "<2>"])),
            ("float32", r.choice(["int32", "float64", "real", "bool"])), ("_0[", "_9["), ("net0", "net1"), ("0]", "17]"), (",", " "),
            ("[", "[0,"), (".", ""), ("equal-to", "isomorphic-to"), ("I0_0", "I0_1"), ("I0", "O0"),
        ]
        old, new = r.choice(replacements)
        places = [i for i in range(len(text)) if text.startswith(old, i)]
        if not places:
            return text[:at]
        i = r.choice(places)
        return text[:i] + new + text[i + len(old):]


def judge(name, text):
    try:
        query = vnnlib.parse_query_string(text)
    except Exception as error:  # the parser also lets C++ exceptions through
        return {"name": name, "text": text, "accepted": False, "message": str(error)[:400]}
    tensors = []
    for network in query.networks:
        for tensor in list(network.inputs) + list(network.hidden) + list(network.outputs):
            tensors.append([tensor.name, str(tensor.kind).split(".")[-1].lower(), str(tensor.dtype).split(".")[-1], list(tensor.shape)])
    clauses = 1
    for assertion in query.assertions:
        clauses = clauses * len(assertion.expr.to_dnf()) if clauses < 10**6 else clauses
    return {"name": name, "text": text, "accepted": True, "tensors": tensors, "clauses": clauses, "networks": [n.name for n in query.networks]}


def main():
    # The parser's warnings go to the C++ standard output; keep them away from ours.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    seed, count, files = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    generator = Generator(seed)
    for file in files:
        with open(file) as stream:
            print(json.dumps(judge(os.path.basename(file), stream.read())), file=out)
    for i in range(count):
        text = generator.query()
        if i % 2:
            text = generator.damaged(text)
        print(json.dumps(judge("generated-%d" % i, text)), file=out)
    out.flush()
    os._exit(0)  # the parser's destructors are not our business


main()
