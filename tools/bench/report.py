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

    def table(self, out):
        out("\nMeasures")
        for number, what, wanted, found, ok in self.lines:
            out(f"{number:>2}  {'pass' if ok else 'FALLS SHORT':11} {what:66} {wanted:>10} {found:>10}")


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


def net_measures(records, threads, m):
    for net in ("resnet18", "mobilenet_v2"):
        for variant in ("dense", "8x-free", "8x-group4", "1x1-10%"):
            on = pick(records, kind="net", net=net, variant=variant, peer="patcnn", threads=1, fused=True)
            off = pick(records, kind="net", net=net, variant=variant, peer="patcnn", threads=1, fused=False)
            if on and off:
                m.at_least(4, f"{net} {variant}: fusion saves, % of the time (host)", 10,
                           100 * (1 - on[0]["median_ms"] / off[0]["median_ms"]), "{:.1f}")
    if threads < 2:
        return
    for net, wanted in (("vgg16", 1.9), ("resnet18", 1.9), ("mobilenet_v2", 1.8)):
        for variant in ("dense", "8x-free", "8x-group4", "1x1-10%"):
            one = pick(records, kind="net", net=net, variant=variant, peer="patcnn", threads=1, fused=True)
            two = pick(records, kind="net", net=net, variant=variant, peer="patcnn", threads=2, fused=True)
            if one and two:
                m.at_least(5, f"{net} {variant}: two cores, times as fast as one (host)", wanted,
                           one[0]["median_ms"] / two[0]["median_ms"])


def report(records, out):
    threads = max([r["threads"] for r in records if "threads" in r], default=1)
    layers = Layers(records)
    measures = Measures()
    limit_table(records, out)
    layer_table(layers, out)
    for n in sorted({1, threads}):
        net_table(records, Layers(records, n), n, out)
    peak_measures(layers, measures)
    speed_measures(layers, measures)
    layer_measures(layers, measures, out)
    net_measures(records, threads, measures)
    return measures
