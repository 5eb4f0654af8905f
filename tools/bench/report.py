# SPDX-License-Identifier: MIT
"""Tables for people, and the measures that the results are held against.

Records are the JSON objects that netbench and the in-kernel part print; README.md has
their keys.
"""

import math

NETS = ("vgg16", "vgg16-whole", "resnet18", "resnet50", "mobilenet_v2", "resnet20", "yolo")
PEERS = ("onednn", "xnnpack", "xnnpack-sparse", "onnxruntime")


def pick(records, **want):
    return [r for r in records if all(r.get(k) == v for k, v in want.items())]


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 0.0


class Layers:
    """Layers of one run with one number of threads, by net, in order of execution."""

    def __init__(self, records, threads=1):
        self.nets = {}
        for r in pick(records, kind="layer", threads=threads):
            layer = self.nets.setdefault(r["net"], {}).setdefault(r["name"], {})
            layer[r["variant"] if r["peer"] == "patcnn" else r["peer"]] = r

    def own(self, net):
        """(layer, variant, record, all records of the layer)"""
        for name, entries in self.nets.get(net, {}).items():
            for who, r in entries.items():
                if who not in PEERS:
                    yield name, who, r, entries

    def best(self, entries, variant):
        """The record of a variant: layers it leaves dense are those of the dense net."""
        return entries.get(variant) or entries.get("dense")

    def total(self, net, who):
        """Milliseconds of all layers; a peer that cannot do one does not count."""
        ms = 0.0
        for entries in self.nets.get(net, {}).values():
            r = entries.get(who) if who in PEERS else self.best(entries, who)
            if not r:
                return None
            ms += r["median_ms"] * r["count"]
        return ms


def cell(value, form="{:.2f}"):
    return form.format(value) if value else "-"


def layer_table(layers, out):
    for net in NETS:
        if net not in layers.nets:
            continue
        out(f"\n{net}: one layer a line; ms, x = times as fast as oneDNN's best dense, % = of the FMA "
            "peak on the non-zero multiply-accumulates")
        out(f"{'layer':26} {'n':>2} {'variant':15} {'ms':>8} {'x':>6} {'%':>4}  "
            f"{'oneDNN':>7} {'XNN':>7} {'XNN sp':>7} {'ORT':>7}  kernels")
        for name, who, r, e in layers.own(net):
            peers = " ".join(f"{cell(e[p]['median_ms'], '{:.3f}') if p in e else '-':>7}" for p in PEERS)
            slow = "!" if 0 < r["ratio"] < 0.909 else " "
            out(f"{r['layer']:26} {r['count']:2} {who:15} {r['median_ms']:8.3f} {r['ratio']:5.2f}{slow} "
                f"{r['pct_of_peak']:4.0f}  {peers}  {r['algorithm']}")


def net_table(records, layers, threads, out):
    rows = pick(records, kind="net", threads=threads)
    if not rows:
        return
    sums = layers.nets
    out(f"\nWhole nets, {threads} thread{'s' if threads > 1 else ''}, ms; oneDNN and XNNPACK: the sum of their "
        "layers without what lies between")
    out(f"{'net':13} {'variant':15} {'fused':>8} {'no-fuse':>8} {'ORT':>8} {'oneDNN':>8} {'XNN':>8} {'x ORT':>6}")
    for net in NETS:
        mine = pick(rows, net=net, peer="patcnn")
        ort = pick(rows, net=net, peer="onnxruntime")
        for r in mine:
            if not r["fused"]:
                continue
            plain = pick(mine, variant=r["variant"], fused=False)
            peers = [layers.total(net, p) if net in sums else None for p in ("onednn", "xnnpack")]
            out(f"{net:13} {r['variant']:15} {r['median_ms']:8.3f} "
                f"{cell(plain[0]['median_ms'] if plain else 0, '{:.3f}'):>8} "
                f"{cell(ort[0]['median_ms'] if ort else 0, '{:.3f}'):>8} {cell(peers[0]):>8} "
                f"{cell(peers[1]):>8} {cell(r['ratio']):>6}")


def limit_table(records, out):
    for r in pick(records, kind="limit"):
        out(f"One core ({r['isa']}): FMA {r['fma']:.0f} GFLOP/s with operands in registers, {r['fma_aligned']:.0f} "
            f"with an aligned memory operand, {r['fma_misaligned']:.0f} misaligned, {r['fma_shared']:.0f} with a "
            f"misaligned load for two;\nreads: L1 {r['l1']:.0f} GB/s aligned, {r['l1_misaligned']:.0f} misaligned, "
            f"L2 {r['l2']:.0f}, memory {r['memory']:.0f}")


class Measures:
    """What is asked for, what was found, and whether that is enough."""

    def __init__(self):
        self.lines = []

    def add(self, number, what, wanted, found, ok):
        self.lines.append((number, what, wanted, found, ok))

    def at_least(self, number, what, wanted, found, form="{:.2f}"):
        if found is not None:
            self.add(number, what, ">= " + form.format(wanted), form.format(found), found >= wanted)

    def at_most(self, number, what, wanted, found, form="{:.2f}"):
        if found is not None:
            self.add(number, what, "<= " + form.format(wanted), form.format(found), found <= wanted)

    def note(self, number, what, found):
        self.add(number, what, "", found, None)

    def table(self, out):
        out("\nMeasures: what is asked for, what was found")
        words = {True: "pass", False: "FALLS SHORT", None: ""}
        for number, what, wanted, found, ok in self.lines:
            out(f"{number:>2}  {words[ok]:11} {what:76} {wanted:>8} {found:>8}")


def peak_measures(layers, m):
    for variant, mean, least in (("8x-free", 65, 50), ("8x-group4", 80, 65)):
        pct, macs, worst = 0.0, 0, (1e9, "")
        for net in ("vgg16", "resnet18"):
            for _, who, r, _ in layers.own(net):
                # Pruned eightfold: not the first layer, which keeps its kernels.
                if who != variant or not r["layer"].startswith("3x3") or r["macs"] * 5 > r["macs_dense"]:
                    continue
                pct += r["pct_of_peak"] * r["macs"] * r["count"]
                macs += r["macs"] * r["count"]
                worst = min(worst, (r["pct_of_peak"], f"{net} {r['layer']}"))
        if macs:
            m.at_least(1, f"3x3, {variant}: mean % of the FMA peak", mean, pct / macs, "{:.0f}")
            m.at_least(1, f"  the lowest layer ({worst[1]})", least, worst[0], "{:.0f}")


def speed_measures(layers, m):
    for net, variant, wanted in (("vgg16", "8x-free", 5), ("vgg16", "8x-group4", 6.5), ("vgg16", "pattern", 1.6),
                                 ("resnet18", "8x-free", 3.5), ("resnet18", "8x-group4", 4.5),
                                 ("resnet18", "pattern", 1.6)):
        ours, peer = layers.total(net, variant), layers.total(net, "onednn")
        if ours and peer:
            m.at_least(2, f"{net} convolutions, {variant}: times as fast as oneDNN", wanted, peer / ours)


def slow_layers(layers):
    found = {}
    for net in NETS:
        for _, who, r, _ in layers.own(net):
            if 0 < r["ratio"] < 1 / 1.1:
                found[r["layer"], who] = (r["ratio"], net, r)
    return found


def layer_measures(layers, m, out):
    if not layers.nets:
        return
    slow = slow_layers(layers)
    total = len({(r["layer"], who) for net in NETS for _, who, r, _ in layers.own(net)})
    m.add(3, f"layers more than 10% slower than oneDNN's dense, of {total}", "0", str(len(slow)), not slow)
    if slow:
        out("\nSlower than oneDNN's best dense by more than 10%: x of its speed")
        for (layer, who), (ratio, net, r) in sorted(slow.items(), key=lambda i: i[1][0]):
            out(f"  {ratio:5.2f}  {layer:26} {who:15} {net:13} {r['algorithm']}")
    for variant, wanted in (("1x1-10%", 2.7), ("1x1-10%-block4", 5.0)):
        ratios = {}
        for net in ("resnet50", "mobilenet_v2"):
            for _, who, r, e in layers.own(net):
                sparse = e.get("xnnpack-sparse")
                if who == variant and r["layer"].startswith("1x1") and sparse:
                    ratios[r["layer"]] = sparse["median_ms"] / r["median_ms"]
        if ratios:
            m.at_least(3, f"{variant}: {len(ratios)} layers, geometric mean, times XNNPACK's sparse path", wanted,
                       geomean(list(ratios.values())))


def client_table(records, out):
    rows = pick(records, kind="clients")
    if not rows:
        return
    out("\nClient processes at once, all cores: patcnn in user-mode Linux, ONNX Runtime on this machine")
    out(f"{'net':13} {'variant':15} {'peer':12} {'clients':>7} {'jobs/s':>8} {'max/min':>8} {'p50 ms':>8} {'p90 ms':>8} "
        f"{'p99 ms':>8} {'kernel':>8}")
    for r in rows:
        p = r.get("latency_us", {})
        ms = " ".join(f"{p[k] / 1e3:8.2f}" if k in p else f"{'-':>8}" for k in ("p50", "p90", "p99"))
        inside = f"{r['kernel_us']['p50'] / 1e3:8.2f}" if "kernel_us" in r else f"{'-':>8}"
        out(f"{r['net']:13} {r['variant']:15} {r['peer']:12} {r['clients']:7} {r['jobs_per_second']:8.1f} "
            f"{r['max_by_min']:8.2f} {ms} {inside}")


def kernel_table(records, out):
    rows = pick(records, kind="kernel")
    if not rows:
        return
    out("\nIn the kernel (user-mode Linux), alternating with the same outside; medians, ms; overhead: latency without "
        "the time in steps, us; driver: of that, from queued to the fence")
    out(f"{'net':13} {'variant':15} {'what':10} {'cores':>5} {'latency':>8} {'in steps':>8} {'overhead':>8} {'driver':>7}")
    for r in rows:
        out(f"{r['net']:13} {r['variant']:15} {r['what']:10} {r['threads']:5} {r['median_ms']:8.3f} "
            f"{r['kernel_ms']:8.3f} {r['overhead_us']:8.1f} {r['driver_us']:7.1f}")
    for r in pick(records, kind="traffic"):
        if r["groups"]:
            out(f"{r['net']:13} {r['variant']:15} {r['groups']} fused groups of {r['operators']} of {r['of']} operators: "
                f"{r['bytes'] / 1e6:.1f} MB of activations become {r['fused_bytes'] / 1e6:.1f} MB")


def neon_table(records, out):
    loops = {}
    for r in pick(records, kind="mca"):
        loops.setdefault((r["loop"], r["fmla"], r["loads"], r["instructions"]), {})[r["core"]] = r["pct_of_peak"]
    if not loops:
        return
    cores = sorted({r["core"] for r in pick(records, kind="mca")})
    out("\nNEON inner loops by llvm-mca, a model: FMLA a cycle, % of what the core can do")
    out(f"{'loop':22} {'FMLA':>5} {'loads':>5} {'all':>5}  " + " ".join(f"{c:>10}" for c in cores))
    for (loop, fmla, loads, count), found in loops.items():
        out(f"{loop:22} {fmla:5} {loads:5} {count:5}  " + " ".join(f"{found.get(c, 0):10.0f}" for c in cores))
    weight = sum(key[1] for key in loops)
    out(f"{'all, by their FMLA':40}  "
        + " ".join(f"{sum(f.get(c, 0) * key[1] for key, f in loops.items()) / weight:10.0f}" for c in cores))


def pairs(records, first, second):
    """Records of the in-kernel part that were measured in turns."""
    for a in pick(records, kind="kernel", what=first):
        for b in pick(records, kind="kernel", what=second, net=a["net"], variant=a["variant"]):
            yield a, b


def fusion_measures(records, m):
    for net in ("resnet18", "mobilenet_v2"):
        for variant in ("dense", "8x-free", "8x-group4", "1x1-10%"):
            same = dict(kind="net", net=net, variant=variant, peer="patcnn", threads=1)
            for on in pick(records, **same, fused=True):
                for off in pick(records, **same, fused=False):
                    m.at_least(4, f"{net} {variant}: time saved by fusion, %, one thread", 10,
                               100 * (1 - on["median_ms"] / off["median_ms"]), "{:.1f}")
    for on, off in pairs(records, "device", "no-fuse"):
        if on["net"] in ("resnet18", "mobilenet_v2"):
            m.at_least(4, f"{on['net']} {on['variant']}: the same in the kernel, all cores", 10,
                       100 * (1 - on["median_ms"] / off["median_ms"]), "{:.1f}")
    for r in pick(records, kind="traffic"):
        if r["net"] in ("resnet18", "mobilenet_v2") and r["variant"] in ("dense", "8x-group4") and r["bytes"]:
            m.at_most(4, f"{r['net']} {r['variant']}: activation bytes of fused groups, of those unfused", 0.5,
                      r["fused_bytes"] / r["bytes"])


def kernel_measures(records, m):
    wanted = {"vgg16": 1.9, "resnet18": 1.9, "mobilenet_v2": 1.8}
    for many, one in pairs(records, "device", "device1"):
        if many["net"] in wanted and many["threads"] == 2:
            m.at_least(5, f"{many['net']} {many['variant']}: two cores, times as fast as one", wanted[many["net"]],
                       one["median_ms"] / many["median_ms"])
    for device, host in pairs(records, "device", "host"):
        m.at_most(6, f"{device['net']} {device['variant']}: slower than the host harness, %", 3,
                  100 * (device["median_ms"] / host["median_ms"] - 1), "{:.1f}")
    for r in pick(records, kind="kernel", what="overhead"):
        m.at_most(6, "one layer: submit to fence, us above the time in the step", 15, r["driver_us"], "{:.1f}")
        m.at_most(6, "  the same seen by the client, its system calls included", 15, r["overhead_us"], "{:.1f}")


def sharing_measures(records, m):
    for four in pick(records, kind="clients", clients=4):
        same = dict(kind="clients", net=four["net"], variant=four["variant"], peer=four["peer"])
        name = f"{four['net']} {four['variant']}"
        for one in pick(records, **same, clients=1):
            share = 100 * four["jobs_per_second"] / one["jobs_per_second"]
            if four["peer"] == "patcnn":
                m.at_least(7, f"{name}: throughput of four clients, % of one's", 97, share, "{:.0f}")
                m.at_most(7, f"{name}: four clients, largest share by smallest", 1.1, four["max_by_min"])
            else:
                m.note(7, f"{name}: four ONNX Runtime processes, % of one's; largest share by smallest",
                       f"{share:.0f}; {four['max_by_min']:.2f}")
    for flood, alone in pairs(records, "flood", "alone"):
        # The quietest round of each: a percentile of a shared machine is the machine's.
        m.at_most(7, "high priority under a flood of low: p99 latency, times that alone", 1.3,
                  min(flood["p99s"]) / min(alone["p99s"]))
    for r in pick(records, kind="idle"):
        m.at_most(8, f"CPU time of idle workers in {r['seconds']} s, ms", 0, r["ns"] / 1e6, "{:.1f}")


def report(records, out):
    threads = max([r["threads"] for r in records if "threads" in r], default=1)
    layers = Layers(records)
    measures = Measures()
    limit_table(records, out)
    layer_table(layers, out)
    for n in sorted({1, threads}):
        net_table(records, Layers(records, n), n, out)
    kernel_table(records, out)
    client_table(records, out)
    neon_table(records, out)
    peak_measures(layers, measures)
    speed_measures(layers, measures)
    layer_measures(layers, measures, out)
    fusion_measures(records, measures)
    kernel_measures(records, measures)
    sharing_measures(records, measures)
    return measures
