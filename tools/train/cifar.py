# SPDX-License-Identifier: MIT
"""The second example: ResNet-20 on CIFAR-10 images.  See ../examples/cifar10.

Each variant starts from the dense net, goes through ADMM and is retrained under its
masks.  Every phase leaves a checkpoint per epoch in the cache and continues from it.
"""

import copy
import functools
import os
import pathlib

import torch

from patcnn_train import Pruner, Rule, data, export_onnx, loop, nets, plan, report
from patcnn_train.replay import Replay

SEED = 1
BATCH = 128
EPOCHS = {"dense": 24, "admm": 7, "retrain": 8, "distil": 16}
UPDATES = 42  # of Z, Y and the duals during ADMM, whatever its length

VARIANTS = {
    "8x": Rule(pattern=4, patterns=8, connectivity=3.6),
    "pattern": Rule(pattern=4, patterns=8),
    "8x-group4": Rule(pattern=4, patterns=8, connectivity=3.6, group=4),
    "8x-group2": Rule(pattern=4, patterns=8, connectivity=3.6, group=2),
    "1of8": Rule(nm=(1, 8)),
}
# Retrained once more, the dense net its teacher: what fewer weights learn with more time.
DISTILLED = "8x-distilled"
# The control: as many epochs more as the variants have, without any structure.
CONTROL = "dense-longer"


def cache_directory():
    home = pathlib.Path.home() / ".cache" / "patcnn"
    return pathlib.Path(os.environ.get("PATCNN_CACHE", home)) / "train-cifar10"


class Run:
    """The data and settings that all variants share."""

    def __init__(self, directory, out, bf16, log):
        self.out, self.work, self.log, self.bf16 = pathlib.Path(out), cache_directory(), log, bf16
        self.out.mkdir(parents=True, exist_ok=True)
        self.train, self.test, names = data.load_folders(directory, self.work / "pixels.npz")
        description = self.out / "cifar10.json"
        if not description.exists():
            data.write_description(description, names, data.Preprocess.measure(self.train),
                                   nets.ResNet20.input_shape, "rgb")
        self.preprocess = data.read_description(description)[1]

    def phase(self, model, variant, kind, lr, decay, pruner=None, warm=0.2, teacher=None):
        augment = functools.partial(data.shift_crop, border=4, flip=True)
        settings = loop.Settings(EPOCHS[kind], lr, batch=BATCH, decay=decay, warm=warm,
                                 bf16=self.bf16, augment=augment, teacher=teacher)
        name = kind if variant == kind else f"{variant}-{kind}"
        return loop.fit(model, self.train, self.test, self.preprocess, settings, name, pruner,
                        SEED, self.work / f"{name}.pt", self.log)

    def dense(self):
        """The dense net, trained or from its checkpoint."""
        torch.manual_seed(SEED)
        model = nets.initialise(nets.ResNet20())
        self.phase(model, "dense", "dense", 0.4, 5e-4)
        return model

    def pruned(self, model, name):
        """`model`, the dense net, through ADMM and masked retraining; its Pruner and its
        test accuracy in percent."""
        steps = EPOCHS["admm"] * (len(self.train) // BATCH)
        # Shortcuts (1x1) and the classifier, 3200 of 0.27 M weights, stay dense.
        pruner = Pruner(model, plan(model, spatial=VARIANTS[name]),
                        rho=0.01, growth=1.12, rho_max=1.0, interval=steps // UPDATES)
        self.phase(model, name, "admm", 0.1, 5e-4, pruner, warm=0.1)
        pruner.harden()
        return pruner, self.phase(model, name, "retrain", 0.2, 2e-4, pruner, warm=0.1)

    def variant(self, name):
        """Train one variant and export it; returns its test accuracy in percent."""
        model = self.dense()
        if name == CONTROL:
            for kind, lr, decay in (("admm", 0.1, 5e-4), ("retrain", 0.2, 2e-4)):
                reached = self.phase(model, name, kind, lr, decay, warm=0.1)
        elif name == DISTILLED:
            teacher = copy.deepcopy(model)
            pruner, _ = self.pruned(model, name.removesuffix("-distilled"))
            reached = self.phase(model, name, "distil", 0.2, 1e-4, pruner, 0.1, teacher)
        elif name != "dense":
            _, reached = self.pruned(model, name)
        else:
            reached = loop.accuracy(model, self.preprocess, self.test)
        export_onnx(model, self.out / f"resnet20-{name}.onnx", nets.ResNet20.input_shape)
        self.log(f"{name}: test accuracy {reached:.2f}%")
        return reached

    def report(self):
        """Measure every exported file and write RESULT.md; returns its text."""
        lines = ["<!-- SPDX-License-Identifier: MIT -->",
                 "| net | test accuracy | weights kept | fewer | MACs kept | fewer |",
                 "|---|---|---|---|---|---|"]
        for name in ["dense", CONTROL, *VARIANTS, DISTILLED]:
            path = self.out / f"resnet20-{name}.onnx"
            if not path.exists():
                continue
            net = Replay(path)
            reached = loop.accuracy(net, self.preprocess, self.test)
            weights, kept, macs, kept_macs = report.totals(net.rows)
            lines.append(f"| {name} | {reached:.2f}% | {kept} | {weights / kept:.2f}x "
                         f"| {kept_macs / 1e6:.2f} M | {macs / kept_macs:.2f}x |")
        text = "\n".join(lines) + "\n"
        (self.out / "RESULT.md").write_text(text)
        self.log(text)
        return text


def main(arguments, log):
    """The `cifar` command: train the named variants in order, then measure all files."""
    torch.set_num_threads(arguments.threads)
    run = Run(arguments.data, arguments.out, arguments.bf16, log)
    for name in arguments.variant or []:
        run.variant(name)
    if arguments.report or not arguments.variant:
        run.report()
