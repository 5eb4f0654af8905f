# SPDX-License-Identifier: MIT
"""What the NEON inner loops would reach on little and big Arm cores, by llvm-mca.

A model, not a measurement: caches always hit, branches are always predicted. For each
loop without a branch inside, the share of its cycles in which the units that do FMLA work on
one: FMLA a cycle, of those of a stream of nothing else.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
CORES = ("cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76")
LABEL = re.compile(r"^(\.?[A-Za-z_][\w.$]*):")
BRANCH = re.compile(r"^\s+(?:b\.?\w+|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#?\w+,)\s+(\.L\w+)\s*$")
FEWEST = 8  # FMLA of a loop that counts as an inner one


def assembly(folder):
    """The text of the kernels for NEON, as the project compiles them."""
    target = folder / "compute" / "kernels" / "isa_neon.o"
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    subprocess.run(["make", "-s", "-C", TOP / "driver/compute", f"BUILD={folder}", "CC=aarch64-linux-gnu-gcc",
                    "CFLAGS=-O2 -S", target], check=True, env=env, stdout=sys.stderr)
    return target.read_text()


def loops(text):
    """(function, instructions) of every loop without a label or a branch inside."""
    function, label, body = "", None, []
    for line in text.splitlines():
        head = LABEL.match(line)
        if head:
            if not head[1].startswith("."):
                function = head[1]
            label, body = head[1], []
            continue
        code = line.split("//")[0].rstrip()
        if not code.startswith("\t") or code.startswith("\t."):
            continue
        branch = BRANCH.match(code)
        if branch:
            if branch[1] == label:
                yield function, body + ["\tb.ne\t" + label]
            label, body = None, []
        elif re.match(r"^\t(b|bl|br|blr|ret)\b", code):
            label, body = None, []
        else:
            body.append(code)


def cycles(core, text):
    """Cycles of an iteration, in the long run."""
    done = subprocess.run(["llvm-mca", "-mtriple=aarch64", f"-mcpu={core}", "-json", "-iterations=100", "-"],
                          input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    # Some versions print a line before the object.
    summary = json.loads(done.stdout[done.stdout.index("{"):])["CodeRegions"][0]["SummaryView"]
    return summary["TotalCycles"] / summary["Iterations"]


def fma_cycles(core):
    """Cycles of an FMLA where there is nothing else, and none waits for another."""
    return cycles(core, "".join(f"fmla v{i}.4s, v30.4s, v31.4s\n" for i in range(24))) / 24


def measure():
    records, seen = [], set()
    with tempfile.TemporaryDirectory() as tmp:
        text = assembly(pathlib.Path(tmp))
    peak = {core: fma_cycles(core) for core in CORES}
    for function, body in loops(text):
        fmla = sum("\tfml" in line for line in body)
        if fmla < FEWEST or (function, tuple(body)) in seen:
            continue
        seen.add((function, tuple(body)))
        loads = sum(bool(re.match(r"\t(ld[1-4]r?|ldr|ldp|ldur)\b", line)) for line in body)
        for core in CORES:
            needed = cycles(core, "\n".join(body) + "\n")
            records.append({"kind": "mca", "loop": function, "core": core, "fmla": fmla, "loads": loads,
                            "instructions": len(body), "cycles": round(needed, 1),
                            "pct_of_peak": round(100 * fmla * peak[core] / needed, 1)})
    return records


if __name__ == "__main__":
    for record in measure():
        print(json.dumps(record))
