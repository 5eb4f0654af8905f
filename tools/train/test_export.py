# SPDX-License-Identifier: MIT
"""Export, IDX files, preprocessing, and the delivered digits example itself."""

import pathlib
import tempfile
import unittest

import torch

from patcnn_train import Pruner, Rule, data, export_onnx, loop, nets, plan, report
from patcnn_train.replay import Replay

DIGITS = pathlib.Path(__file__).resolve().parent.parent / "examples" / "digits"


class Export(unittest.TestCase):
    def test_resnet(self):
        """Batch norms are folded, the zeros and the results survive."""
        torch.manual_seed(0)
        model = nets.initialise(nets.ResNet20())
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
                torch.nn.init.normal_(module.weight)
        pruner = Pruner(model, plan(model, spatial=Rule(pattern=4, connectivity=3.6)))
        masks = list(pruner.harden().values())
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "net.onnx")
            export_onnx(model, path, nets.ResNet20.input_shape)
            net = Replay(path)
        self.assertEqual({n.op_type for n, _ in net.nodes},
                         {"Conv", "Relu", "Add", "GlobalAveragePool", "Flatten", "Gemm"})
        x = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            expected, got = model.eval()(x), net(x)
        self.assertLess(float((expected - got).abs().max() / expected.abs().max()), 1e-4)
        self.assertEqual(report.totals(net.rows), report.totals(report.count(model, (3, 32, 32))))
        spatial = [w for w in net.weights() if w.shape[-1] == 3 and w.dim() == 4]
        for weight, mask in zip(spatial, masks):
            self.assertTrue(torch.equal(weight != 0, mask))


class Files(unittest.TestCase):
    def test_idx(self):
        array = torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(2, 3, 4).numpy()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.idx3-ubyte")
            data.write_idx(path, array)
            self.assertEqual(path.read_bytes()[:8], bytes([0, 0, 8, 3, 0, 0, 0, 2]))
            self.assertTrue((data.read_idx(path) == array).all())
            path.write_bytes(b"\0\0\x0d\1\0\0\0\0")
            self.assertRaises(ValueError, data.read_idx, path)

    def test_shift_crop(self):
        images = torch.arange(2 * 16, dtype=torch.uint8).reshape(2, 1, 4, 4) + 1
        seen = set()
        for seed in range(40):
            out = data.shift_crop(images, torch.Generator().manual_seed(seed), 1, True)
            self.assertEqual(out.shape, images.shape)
            seen |= {tuple(image.flatten().tolist()) for image in out}
        padded = torch.nn.functional.pad(images, [1] * 4)
        allowed = {tuple(crop.flatten().tolist()) for image in padded
                   for y in range(3) for x in range(3)
                   for crop in (image[:, y:y + 4, x:x + 4], image[:, y:y + 4, x:x + 4].flip(2))}
        self.assertLessEqual(seen, allowed)
        self.assertGreater(len(seen), 18)


class DeliveredDigits(unittest.TestCase):
    """What lies in tools/examples/digits is what its README says."""

    def test_predictions(self):
        _, preprocess, shape = data.read_description(DIGITS / "digits.json")
        images = torch.from_numpy(data.read_idx(DIGITS / "test-images.idx3-ubyte").copy())[:, None]
        labels = torch.from_numpy(data.read_idx(DIGITS / "test-labels.idx1-ubyte").copy()).long()
        self.assertEqual(list(images.shape[1:]), shape)
        self.assertGreaterEqual(len(images), 400)
        text = (DIGITS / "RESULT.txt").read_text()
        for name in ("dense", "pruned"):
            net = Replay(DIGITS / f"digits-{name}.onnx")
            got = loop.predict(net, preprocess, images).argmax(1)
            kept = data.read_idx(DIGITS / f"predictions-{name}.idx1-ubyte")
            self.assertEqual(got.tolist(), kept.tolist())
            self.assertIn(f"{name} {100 * (got == labels).float().mean():.2f}%", text)

    def test_split(self):
        """Regenerating the split gives the delivered test images, and no image of it is
        in the training part under the same index."""
        train, test = data.load_digits()
        self.assertEqual(len(train) + len(test), 1797)
        kept = data.read_idx(DIGITS / "test-images.idx3-ubyte")
        self.assertTrue((test.images[:, 0].numpy() == kept).all())

    def test_structure(self):
        net = Replay(DIGITS / "digits-pruned.onnx")
        convs = [w for w in net.weights() if w.dim() == 4]
        used = set()
        for index, weight in enumerate(convs):
            kernels = (weight != 0).flatten(2).flatten(0, 1)
            counts = kernels.sum(1)
            self.assertEqual(set(counts.tolist()) - {0}, {4})
            used |= {tuple(k.tolist()) for k in kernels if k.any()}
            expected = len(kernels) if index == 0 else -(-len(kernels) * 10 // 36)
            self.assertEqual(int((counts > 0).sum()), expected)
        self.assertLessEqual(len(used), 8)
        self.assertTrue(all(k[4] for k in used))


if __name__ == "__main__":
    unittest.main()
