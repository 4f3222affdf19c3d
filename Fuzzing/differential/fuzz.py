#!/usr/bin/env python3
"""Differential fuzzing: random cases of every kind against oracles that share nothing with the project.

    fuzz.py [--kinds graphs,queries,files,tokenizers] [--seeds A..B | --minutes M] [--binaries FOLDER] [--ledger FILE]

With --minutes it goes on after the last seed that the ledger names, so that a run that was stopped resumes; every finished
stretch is one line of the ledger (kind, seeds, cases, comparisons, findings, seconds). Failing cases are minimised where the
kind knows how and kept in Fuzzing/findings/KIND-SEED with their REASON; exit status 1 if there are any.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)


def kinds(binaries):
    import file_cases
    import graph_cases
    import query_cases

    return {
        "graphs": lambda seed, folder: graph_cases.case(binaries["nnverify"], seed, folder),
        "queries": lambda seed, folder: query_cases.case(binaries["nnverify"], seed, folder),
        "files": lambda seed, folder: file_cases.case(binaries, seed, folder),
    }


def next_seed(ledger, kind):
    """The seed after the last one that a line of the ledger names."""
    last = -1
    if os.path.exists(ledger):
        with open(ledger) as file:
            for line in file:
                entry = json.loads(line)
                if entry["kind"] == kind:
                    last = max(last, entry["seeds"][1])
    return last + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="graphs,queries,files")
    parser.add_argument("--seeds", help="the seeds A..B of every kind")
    parser.add_argument("--minutes", type=float, help="how long, shared among the kinds")
    parser.add_argument("--binaries", default=os.path.join(ROOT, ".build", "release"))
    parser.add_argument("--ledger", default=os.path.join(HERE, "ledger.jsonl"))
    parser.add_argument("--findings", default=os.path.join(ROOT, "Fuzzing", "findings"))
    options = parser.parse_args()
    if (options.seeds is None) == (options.minutes is None):
        parser.error("give --seeds or --minutes")
    binaries = {name: os.path.join(options.binaries, name) for name in ("nnverify", "cdt")}
    for path in binaries.values():
        if not os.access(path, os.X_OK):
            parser.error(f"{path} is not built")
    cases = kinds(binaries)
    chosen = options.kinds.split(",")
    for kind in chosen:
        if kind not in cases:
            parser.error(f"no kind {kind}: {', '.join(cases)}")
    found = 0
    for kind in chosen:
        if options.seeds:
            first, last = (int(v) for v in options.seeds.split(".."))
        else:
            first, last = next_seed(options.ledger, kind), None
        end = None if options.seeds else time.monotonic() + 60 * options.minutes / len(chosen)
        start, seed, comparisons, failures = time.monotonic(), first, 0, []
        while (last is None or seed <= last) and (end is None or time.monotonic() < end):
            folder = tempfile.mkdtemp(prefix=f"{kind}-{seed}-")
            try:
                count, reason = cases[kind](seed, folder)
            except Exception as error:  # a fault of the oracle is a finding, too: it must not hide one
                count, reason = 0, f"the oracle failed: {type(error).__name__}: {error}"
            comparisons += count
            if reason:
                failures.append(seed)
                print(f"{kind} {seed}: {reason}", flush=True)
                kept = os.path.join(options.findings, f"{kind}-{seed}")
                shutil.rmtree(kept, ignore_errors=True)
                os.makedirs(options.findings, exist_ok=True)
                shutil.copytree(folder, kept)
                with open(os.path.join(kept, "REASON"), "w") as file:
                    file.write(reason + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            seed += 1
        seconds = time.monotonic() - start
        entry = {"kind": kind, "seeds": [first, seed - 1], "cases": seed - first, "comparisons": comparisons,
                 "findings": failures, "seconds": round(seconds, 1)}
        print(f"{kind}: seeds {first} to {seed - 1}, {comparisons} comparisons, {len(failures)} findings, {seconds:.1f} s", flush=True)
        if options.minutes and seed > first:
            with open(options.ledger, "a") as file:
                file.write(json.dumps(entry) + "\n")
        found += len(failures)
    print(f"{'finding' if found == 1 else 'findings'}: {found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
