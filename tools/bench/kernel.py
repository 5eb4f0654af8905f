# SPDX-License-Identifier: MIT
"""The in-kernel part: the module, libpatcnn and `patcnn bench` in user-mode Linux.

There the ioctls, the scheduler, fences and workers are the real ones, and vector code runs
at native speed.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
# What is run there, by net.
VARIANTS = {"vgg16": ("8x-group4",), "resnet18": ("8x-group4", "dense"), "resnet50": ("8x-group4",),
            "mobilenet_v2": ("dense", "1x1-10%"), "resnet20": ("8x-group4",), "yolo": ("8x-group4",)}


def build_module(build):
    kdir = subprocess.run([TOP / "tools/vm/kernel", "um", "--kdir"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k not in ("CC", "CROSS_COMPILE")}
    subprocess.run(["make", "-s", "-j2", "-C", TOP / "driver", f"KDIR={kdir}", f"BUILD={build}", "FLAVOUR=bench",
                    "ARCH=um", "CROSS_COMPILE="], check=True, env=env, stdout=sys.stderr)
    return build / "module-bench" / "patcnn.ko"


def native(build, folder, net, variant, seconds, threads):
    """What the compute core needs in a process of this machine."""
    done = subprocess.run([build / "patcnn", "bench", folder / f"{net}-{variant}.patcnn", "--json", "--host",
                           "--threads", str(threads), "--time", str(seconds), "--warmup", "0.1"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def boot(build, folder, nets, seconds, rounds, cpus, idle, log):
    """[(what, net, variant, JSON)] of the guest, and of this machine when the guest asks for it."""
    module = build_module(build)
    chosen = [("one-layer", "dense")]
    chosen += [(net, variant) for net in nets for variant in VARIANTS.get(net, ())]
    if "resnet18" not in nets:
        chosen.append(("resnet18", "8x-group4"))  # the flood
    found, text = [], ""
    with tempfile.TemporaryDirectory() as tmp:
        programs, outside = pathlib.Path(tmp) / "nets", pathlib.Path(tmp) / "outside"
        programs.mkdir()
        outside.mkdir()
        for net, variant in chosen:
            shutil.copy(folder / f"{net}-{variant}.patcnn", programs / f"{net}+{variant}.patcnn")
        size = sum(f.stat().st_size for f in programs.iterdir())
        command = [TOP / "tools/vm/boot", "--arch", "um", "--smp", cpus, "--mem", 1500 + size * 3 // 2**20,
                   "--module", f"{module} timeout_ms=10000", "--add", build / "patcnn", "--add",
                   HERE / "guest", "--add", f"{programs}:/nets", "--timeout", 1200, "--log", log,
                   "--cmd", f"guest {seconds} {rounds} {idle} {outside}"]
        with subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True) as vm:
            head = None
            for line in vm.stdout:
                if line.startswith("@"):
                    if head:
                        found.append((*head, json.loads(text)))
                    head, text = line[1:].split(), ""
                    if len(head) == 4:
                        what, net, variant, number = head
                        found.append((what, net, variant, native(build, folder, net, variant, seconds,
                                                                 1 if what == "host1" else cpus)))
                        (outside / number).touch()
                        head = None
                else:
                    text += line
            if head and text:
                found.append((*head, json.loads(text)))
    if vm.returncode:
        sys.exit(f"bench: user-mode Linux: exit status {vm.returncode}")
    return found


def client_records(parsed, cpus):
    for what, net, variant, result in parsed:
        if what != "clients":
            continue
        for r in result["rounds"]:
            yield {"kind": "clients", "net": net, "variant": variant, "peer": "patcnn", "threads": cpus,
                   "clients": r["clients"], "jobs_per_second": r["jobs_per_second"],
                   "max_by_min": r["max_by_min_share"], "latency_us": r["latency_us"],
                   "kernel_us": r["kernel_us"], "overhead_us": r["overhead_us"]}


def compared(parsed, cpus):
    """Medians over the rounds of what alternated."""
    series = {}
    for what, net, variant, result in parsed:
        if what in ("clients", "idle"):
            continue
        r = result["rounds"][0]
        series.setdefault((net, variant), {}).setdefault(what, []).append(
            {"median_ms": r["latency_us"]["p50"] / 1e3, "min_ms": r["latency_us"]["min"] / 1e3,
             "p99_ms": r["latency_us"]["p99"] / 1e3, "kernel_ms": r["kernel_us"]["p50"] / 1e3,
             "overhead_us": r["overhead_us"]["p50"], "driver_us": r["driver_overhead_us"]["p50"]})
    for (net, variant), whats in series.items():
        for what, runs in whats.items():
            yield {"kind": "kernel", "what": what, "net": net, "variant": variant, "peer": "patcnn",
                   "threads": 1 if what.endswith("1") else cpus, "rounds": len(runs),
                   **{key: statistics.median(run[key] for run in runs) for key in runs[0]},
                   "runs": [run["median_ms"] for run in runs], "p99s": [run["p99_ms"] for run in runs]}


def measure(build, folder, nets, seconds, rounds, cpus, idle, out):
    """Records of the in-kernel part."""
    parsed = boot(build, folder, nets, seconds, rounds, cpus, idle, out / "kernel.log")
    records = [{"kind": "idle", "seconds": r["seconds"], "ns": r["ns"]} for what, _, _, r in parsed if what == "idle"]
    return records + list(client_records(parsed, cpus)) + list(compared(parsed, cpus))
