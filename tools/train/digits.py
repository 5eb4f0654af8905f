# SPDX-License-Identifier: MIT
"""The first example: scanned digits, dense and pruned.  See ../examples/digits."""

import copy
import functools
import pathlib

import numpy as np
import torch

from patcnn_train import Pruner, Rule, data, export_onnx, loop, nets, plan, report

SEED = 1


def save_images(directory, test):
    """The test set as IDX files and one PNG of each digit, for looking and running."""
    from PIL import Image
    data.write_idx(directory / "test-images.idx3-ubyte", test.images[:, 0].numpy())
    data.write_idx(directory / "test-labels.idx1-ubyte", test.labels.numpy())
    for digit in range(10):
        first = int((test.labels == digit).nonzero()[0])
        Image.fromarray(test.images[first, 0].numpy()).save(directory / f"digit-{digit}.png")


def deliver(model, name, directory, preprocess, test):
    """Write the ONNX file and the model's prediction for every test image; returns the
    smallest gap between the two best logits (what rounding would have to exceed to
    change a prediction)."""
    export_onnx(model, directory / f"digits-{name}.onnx", nets.DigitsNet.input_shape)
    logits = loop.predict(model, preprocess, test.images)
    data.write_idx(directory / f"predictions-{name}.idx1-ubyte", logits.argmax(1).numpy())
    best = logits.topk(2, 1).values
    return float((best[:, 0] - best[:, 1]).min())


def train(directory, log):
    """Train both nets and write all files of the example to `directory`."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    training, test = data.load_digits()
    measured = data.Preprocess.measure(training)
    data.write_description(directory / "digits.json", [str(d) for d in range(10)], measured,
                           nets.DigitsNet.input_shape, "grey")
    preprocess = data.read_description(directory / "digits.json")[1]
    save_images(directory, test)
    augment = functools.partial(data.shift_crop, border=1, flip=False)

    def phase(model, name, epochs, lr, pruner=None):
        settings = loop.Settings(epochs, lr, batch=32, augment=augment)
        return loop.fit(model, training, test, preprocess, settings, name, pruner, SEED, log=log)

    dense = nets.initialise(nets.DigitsNet())
    dense_accuracy = phase(dense, "dense", 60, 0.1)
    pruned = copy.deepcopy(dense)
    rules = plan(pruned, spatial=Rule(pattern=4, patterns=8, connectivity=3.6))
    pruner = Pruner(pruned, rules, rho=1e-2, growth=1.1, rho_max=1.0, interval=42)
    phase(pruned, "admm", 60, 0.05, pruner)
    pruner.harden()
    pruned_accuracy = phase(pruned, "retrain", 60, 0.05, pruner)
    gaps = [deliver(net, name, directory, preprocess, test)
            for net, name in ((dense, "dense"), (pruned, "pruned"))]
    rows = report.count(pruned, nets.DigitsNet.input_shape)
    weights, kept, macs, kept_macs = report.totals(rows)
    patterns = ["".join(str(int(bit)) for bit in pattern)
                for table in pruner.pattern_sets.values() for pattern in table]
    text = (f"{report.table(rows)}\n\n"
            f"patterns (bits in raster order): {' '.join(patterns)}\n"
            f"training images {len(training)}, test images {len(test)}\n"
            f"accuracy dense {dense_accuracy:.2f}% pruned {pruned_accuracy:.2f}%\n"
            f"weights {weights} -> {kept} ({weights / kept:.2f}x), "
            f"MACs {macs} -> {kept_macs} ({macs / kept_macs:.2f}x)\n"
            f"smallest gap between the two best logits: dense {gaps[0]:.4f} pruned {gaps[1]:.4f}\n")
    (directory / "RESULT.txt").write_text(text)
    log(text)
