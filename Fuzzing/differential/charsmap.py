"""Writes tables of the normaliser `Precompiled`: a double-array trie with the layout of SentencePiece's, and replacements."""
import struct


def charsmap(replacements):
    """The table that replaces texts by texts."""
    blob, offsets = b"", {}
    for key, value in replacements.items():
        offsets[key] = len(blob)
        blob += value.encode() + b"\0"
    tree = {}
    for key in replacements:
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = offsets[key]
    units, used, bases = {}, {0}, set()

    def place(node, position, label):
        offset = 1
        while True:
            base = position ^ offset
            if base not in bases and not any(base ^ child in used for child in node):
                break
            offset += 1
        bases.add(base)
        used.update(base ^ child for child in node)
        units[position] = offset << 10 | (256 if 0 in node else 0) | label
        if 0 in node:
            units[base] = 1 << 31 | node[0]
        for child, below in node.items():
            if child:
                place(below, base ^ child, child)

    place(tree, 0, 0)
    count = max(units) + 256
    return struct.pack("<I", 4 * count) + struct.pack(f"<{count}I", *(units.get(i, 0) for i in range(count))) + blob
