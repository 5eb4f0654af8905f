# SPDX-License-Identifier: MIT
"""SVG plots of the records: speed-up of each layer, roofline, scaling."""

import html
import math

from report import NETS, PEERS, Layers, pick

COLOURS = {"patcnn": "#c0392b", "dense": "#7f8c8d", "pattern": "#e67e22", "8x-free": "#2980b9", "8x-group4": "#c0392b",
           "12x-free": "#16a085", "12x-group4": "#8e44ad", "1x1-10%": "#27ae60", "1x1-10%-block4": "#d35400",
           "onednn": "#2c3e50", "xnnpack": "#95a5a6", "xnnpack-sparse": "#bdc3c7", "onnxruntime": "#f1c40f"}


class Svg:
    def __init__(self, width, height):
        self.size = width, height
        self.parts = []

    def line(self, x1, y1, x2, y2, colour="#ccc", width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"/>')

    def rect(self, x, y, w, h, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
                          f'fill="{colour}"/>')

    def dot(self, x, y, colour, title):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}" fill-opacity="0.7">'
                          f'<title>{html.escape(title)}</title></circle>')

    def text(self, x, y, text, anchor="start", size=11, turn=0):
        spin = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{spin}>'
                          f'{html.escape(text)}</text>')

    def legend(self, x, y, names):
        for i, name in enumerate(names):
            self.rect(x, y + 15 * i - 9, 10, 10, COLOURS[name])
            self.text(x + 15, y + 15 * i, name)

    def save(self, path):
        width, height = self.size
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                        'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>\n'
                        + "\n".join(self.parts) + "\n</svg>\n")


def speed_up(layers, net, path):
    """Bars: how many times as fast as oneDNN's best dense, layer by layer."""
    rows = []
    for entries in layers.nets[net].values():
        own = [r for who, r in entries.items() if who not in PEERS and r["ratio"]]
        if own:
            rows.append((own[0]["layer"], own))
    if not rows:
        return
    names = [n for n in COLOURS if any(r["variant"] == n for _, own in rows for r in own)]
    top = max(max(r["ratio"] for r in own) for _, own in rows) * 1.05
    step, low, high = 16 + 9 * len(names), 40, 330
    svg = Svg(90 + step * len(rows) + 130, 470)
    scale = (high - low) / max(top, 1.2)
    svg.text(60, 22, f"{net}: times as fast as oneDNN's best dense convolution, one thread", size=14)
    tick = 0.5 if top < 4 else 1 if top < 10 else 2
    for i in range(int(top / tick) + 1):
        y = high - scale * tick * i
        svg.line(60, y, 60 + step * len(rows), y, "#222" if tick * i == 1 else "#ddd")
        svg.text(54, y + 4, f"{tick * i:g}", "end")
    for k, (layer, own) in enumerate(rows):
        for r in own:
            i = names.index(r["variant"])
            svg.rect(68 + step * k + 9 * i, high - scale * r["ratio"], 8, scale * r["ratio"], COLOURS[r["variant"]])
        svg.text(68 + step * k + step / 2, high + 14, layer, "end", 10, -40)
    svg.legend(75 + step * len(rows), 60, names)
    svg.save(path)


def roofline(layers, limit, path):
    """GFLOP/s over FLOP a byte of input, output and kept weights, against the peak and memory."""
    points = []
    for net in layers.nets:
        for _, who, r, _ in layers.own(net):
            if r.get("bytes"):
                points.append((2 * r["macs"] / r["bytes"], 2e-6 * r["macs"] / r["median_ms"], who,
                               f"{net} {r['layer']} {who}"))
    if not points or not limit:
        return
    left, right, low, high = 80, 760, 40, 440
    x0, x1 = math.floor(math.log10(min(p[0] for p in points))), math.ceil(math.log10(max(p[0] for p in points)))
    y1 = math.log10(limit["fma"] * 1.3)
    y0 = y1 - 3

    def place(intensity, rate):
        return (left + (right - left) * (math.log10(intensity) - x0) / (x1 - x0),
                high - (high - low) * (max(math.log10(rate), y0) - y0) / (y1 - y0))

    svg = Svg(900, 490)
    svg.text(left, 22, "Roofline: every layer and variant, one thread; GFLOP/s on the non-zero weights", size=14)
    for decade in range(x0, x1 + 1):
        x = place(10 ** decade, 1)[0]
        svg.line(x, low, x, high)
        svg.text(x, high + 16, f"{10 ** decade:g}", "middle")
    for rate in (1, 3, 10, 30, 100, 300):
        if y0 <= math.log10(rate) <= y1:
            y = place(1, rate)[1]
            svg.line(left, y, right, y)
            svg.text(left - 6, y + 4, str(rate), "end")
    for name in ("l2", "memory"):
        knee = limit["fma"] / limit[name]
        start = max(10 ** x0, 10 ** y0 / limit[name])
        svg.line(*place(start, start * limit[name]), *place(knee, limit["fma"]), "#555", 1.5)
        svg.text(*place(start * 1.3, start * 1.5 * limit[name]), name)
        svg.line(*place(knee, limit["fma"]), *place(10 ** x1, limit["fma"]), "#555", 1.5)
    for x, y, who, title in points:
        svg.dot(*place(x, y), COLOURS.get(who, "#000"), title)
    svg.text((left + right) / 2, high + 34, "FLOP a byte of input, output and kept weights", "middle")
    svg.legend(right + 15, 60, [n for n in COLOURS if any(p[2] == n for p in points)])
    svg.save(path)


def scaling(records, threads, path):
    """Bars: all threads against one, whole nets, PatCNN beside ONNX Runtime."""
    rows = []
    for net in NETS:
        for variant in ("dense", "8x-free", "8x-group4", "1x1-10%"):
            for peer in ("patcnn", "onnxruntime"):
                same = dict(kind="net", net=net, variant=variant, peer=peer)
                one = [r for r in pick(records, **same, threads=1) if r["fused"] or peer != "patcnn"]
                many = [r for r in pick(records, **same, threads=threads) if r["fused"] or peer != "patcnn"]
                if one and many:
                    rows.append((f"{net} {variant}", peer, one[0]["median_ms"] / many[0]["median_ms"]))
    if threads < 2 or not rows:
        return
    high, low = 330, 40
    scale = (high - low) / threads
    svg = Svg(120 + 26 * len(rows) + 130, 480)
    svg.text(60, 22, f"{threads} threads against one, whole nets", size=14)
    for i in range(2 * threads + 1):
        y = high - scale * i / 2
        svg.line(60, y, 60 + 26 * len(rows), y)
        svg.text(54, y + 4, f"{i / 2:g}", "end")
    for k, (name, peer, times) in enumerate(rows):
        svg.rect(66 + 26 * k, high - scale * times, 18, scale * times, COLOURS[peer])
        svg.text(78 + 26 * k, high + 14, name, "end", 10, -40)
    svg.legend(75 + 26 * len(rows), 60, ["patcnn", "onnxruntime"])
    svg.save(path)


def draw(records, out):
    layers = Layers(records)
    for net in layers.nets:
        speed_up(layers, net, out / f"speed-up-{net}.svg")
    roofline(layers, next(iter(pick(records, kind="limit")), None), out / "roofline.svg")
    scaling(records, max([r["threads"] for r in records if "threads" in r], default=1), out / "scaling.svg")
