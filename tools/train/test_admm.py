# SPDX-License-Identifier: MIT
"""ADMM: convergence to the constraints, masks that hold, resume, and the plan of a net."""

import itertools
import pathlib
import tempfile
import unittest

import torch
from torch import nn

from patcnn_train import Pruner, Rule, data, loop, plan


class Tiny(nn.Module):
    """Two 3x3 convolutions, a depthwise one, a 1x1 and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point = nn.Conv2d(8, 16, 1)
        self.norm = nn.BatchNorm2d(16)
        self.last = nn.Linear(16, 4)

    def forward(self, x):
        x = torch.relu(self.depth(torch.relu(self.second(torch.relu(self.first(x))))))
        return self.last(torch.relu(self.norm(self.point(x))).mean((2, 3)))


RULES = {"spatial": Rule(pattern=4, connectivity=2.0), "other": Rule(block=0.5)}


def tiny_task(count=256):
    """Images 8x8 whose class is the quadrant of a bright spot: (train, test) Splits."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 60, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 4
    for index, label in enumerate(labels.tolist()):
        row, column = 1 + 4 * (label // 2), 1 + 4 * (label % 2)
        images[index, 0, row:row + 2, column:column + 2] = 250
    split = data.Split(images, labels)
    return split, split


class Plan(unittest.TestCase):
    def test_defaults(self):
        rules = plan(Tiny(), **RULES)
        self.assertEqual(rules["first"], Rule(pattern=4))
        self.assertEqual(rules["second"], RULES["spatial"])
        self.assertEqual(rules["depth"], Rule(pattern=4))
        self.assertEqual(rules["point"], RULES["other"])
        self.assertEqual(rules["last"], RULES["other"])

    def test_overrides(self):
        rules = plan(Tiny(), **RULES, overrides={"*": Rule(nm=(1, 4)), "last": None,
                                                "sec*": Rule(connectivity=4.0)})
        self.assertEqual(rules["second"], Rule(connectivity=4.0))
        self.assertEqual(rules["point"], Rule(nm=(1, 4)))
        self.assertNotIn("last", rules)
        self.assertRaises(ValueError, plan, Tiny(), overrides={"absent*": Rule(block=0.5)})

    def test_contradictions(self):
        self.assertRaises(ValueError, Rule, pattern=4, block=0.5)
        self.assertRaises(ValueError, Rule, block=0.5, group=4)
        self.assertRaises(ValueError, Pruner, Tiny(), {"absent": Rule(pattern=4)})


class Joint(unittest.TestCase):
    def test_final_mask_is_the_nearest_point(self):
        """Pattern, then connectivity, retains what brute force over both retains."""
        torch.manual_seed(0)
        conv = nn.Sequential(nn.Conv2d(3, 2, 3))
        pruner = Pruner(conv, {"0": Rule(pattern=4, patterns=6, connectivity=3.0)})
        weight = conv[0].weight.detach().double().square().reshape(6, 9)
        patterns = next(iter(pruner.pattern_sets.values()))
        best = (weight @ patterns.double().T).max(1).values.tolist()
        optimum = max(sum(c) for c in itertools.combinations(best, 2))
        mask = pruner.harden()["0"].reshape(6, 9)
        self.assertAlmostEqual(float((weight * mask).sum()), optimum)
        self.assertEqual(int(mask.sum()), 8)


class Convergence(unittest.TestCase):
    def test_least_squares(self):
        """min ||A w - b||^2 with one kernel of a 1x9 net: ADMM ends in the set, not
        above the one-shot projection, and the duals carry the loss's gradient."""
        torch.manual_seed(3)
        a = torch.randn(40, 9) @ torch.randn(9, 9)
        target = a @ torch.randn(9)
        conv = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False))
        weight = conv[0].weight
        with torch.no_grad():
            weight.copy_(torch.linalg.lstsq(a, target[:, None]).solution.reshape(1, 1, 3, 3))

        def loss():
            return (a @ weight.flatten() - target).square().mean()

        pruner = Pruner(conv, {"0": Rule(pattern=4, patterns=56)}, rho=1.0, growth=1.02,
                        rho_max=100.0, interval=20)
        with torch.no_grad():
            shot = weight * pruner.layers[0].final_mask()
            one_shot = float((a @ shot.flatten() - target).square().mean())
        optimiser = torch.optim.SGD([weight], lr=2e-3)
        for _ in range(20000):
            optimiser.zero_grad()
            (loss() + pruner.penalty()).backward()
            optimiser.step()
            pruner.step()
        self.assertLess(pruner.residual(), 1e-3)
        pruner.harden()
        self.assertEqual(int(weight.count_nonzero()), 4)
        self.assertLess(float(loss()), one_shot)

    def test_dual_follows_rho(self):
        torch.manual_seed(0)
        model = Tiny()
        pruner = Pruner(model, plan(model, **RULES), rho=0.5, growth=2.0, rho_max=10.0)
        layer = pruner.layers[1]
        part = next(iter(layer.parts))
        weight = layer.weight.detach()
        expected = 0.5 * (weight - weight * layer.mask_of(part, weight))
        pruner.update()
        self.assertEqual(pruner.rho, 1.0)
        self.assertTrue(torch.allclose(pruner.rho * layer.duals[part], expected, atol=1e-6))

    def test_net(self):
        """A whole net reaches its structure, learns, and keeps its zeros in retraining."""
        torch.manual_seed(1)
        torch.set_num_threads(1)
        model, (train, test) = Tiny(), tiny_task()
        pre = data.Preprocess([128.0], [1 / 64])
        loop.fit(model, train, test, pre, loop.Settings(6, 0.1, 32), "dense", log=str)
        pruner = Pruner(model, plan(model, **RULES), rho=0.05, growth=1.3, rho_max=2.0, interval=8)
        loop.fit(model, train, test, pre, loop.Settings(60, 0.05, 32), "admm", pruner, log=str)
        self.assertLess(pruner.residual(), 0.05)
        self.assertGreater(pruner.retained(), 0.995)
        masks = pruner.harden()
        reached = loop.fit(model, train, test, pre, loop.Settings(6, 0.05, 32), "retrain", pruner,
                           log=str)
        self.assertGreater(reached, 95.0)
        for name, mask in masks.items():
            weight = model.get_submodule(name).weight
            self.assertEqual(int(weight[~mask].count_nonzero()), 0)
        second = masks["second"].flatten(2).sum(2)
        self.assertEqual(sorted(set(second.flatten().tolist())), [0, 4])
        self.assertEqual(int((second == 4).sum()), 32)
        self.assertTrue((masks["first"].flatten(2).sum(2) == 4).all())


class Distillation(unittest.TestCase):
    def test_gradient(self):
        """d/dl of share T^2 KL(p || q) is share T (q - p), Hinton et al., equation 2."""
        generator = torch.Generator().manual_seed(11)
        taught = torch.randn(1, 5, generator=generator, dtype=torch.float64)
        logits = torch.randn(1, 5, generator=generator, dtype=torch.float64, requires_grad=True)
        loop.distil(torch.zeros(()), logits, taught, 3.0, 0.7).backward()
        expected = 0.7 * 3.0 * (torch.softmax(logits / 3, 1) - torch.softmax(taught / 3, 1))
        self.assertTrue(torch.allclose(logits.grad, expected))

    def test_pupil_learns_what_no_label_says(self):
        """The labels say one thing, the teacher another: the pupil follows the teacher,
        which is left as it was, and its masks hold."""
        torch.manual_seed(3)
        train, test = tiny_task(512)
        preprocess = data.Preprocess([128.0], [1 / 64])
        teacher = Tiny()
        loop.fit(teacher, train, test, preprocess, loop.Settings(12, 0.1, 32), "t", log=str)
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        wrong = data.Split(train.images, (train.labels + 1) % 4)
        pupil = Tiny()
        pruner = Pruner(pupil, plan(pupil, spatial=Rule(pattern=4)))
        masks = pruner.harden()
        settings = loop.Settings(12, 0.1, 32, teacher=teacher)
        reached = loop.fit(pupil, wrong, test, preprocess, settings, "p", pruner, log=str)
        self.assertGreater(reached, 75.0)
        for name, value in teacher.state_dict().items():
            self.assertTrue(torch.equal(value, before[name]), name)
        self.assertFalse(pupil.second.weight[~masks["second"]].any())


class Resume(unittest.TestCase):
    def run_training(self, checkpoint, log):
        torch.manual_seed(1)
        model, (train, test) = Tiny(), tiny_task(128)
        pruner = Pruner(model, plan(model, **RULES), rho=0.05, interval=3)
        settings = loop.Settings(4, 0.05, 32, augment=lambda i, g: data.shift_crop(i, g, 1, True))
        loop.fit(model, train, test, data.Preprocess([128.0], [1 / 64]), settings, "admm", pruner,
                 checkpoint=checkpoint, log=log)
        return model, pruner

    def test_interrupted_equals_whole(self):
        torch.set_num_threads(1)

        def interrupt(text):
            if "3/4" in text:
                raise KeyboardInterrupt

        with tempfile.TemporaryDirectory() as folder:
            whole, whole_pruner = self.run_training(None, str)
            path = pathlib.Path(folder, "state.pt")
            self.assertRaises(KeyboardInterrupt, self.run_training, path, interrupt)
            lines = []
            resumed, pruner = self.run_training(path, lines.append)
            self.assertIn("continued after epoch 2", lines[0])
            for name, value in whole.state_dict().items():
                self.assertTrue(torch.equal(value, resumed.state_dict()[name]), name)
            self.assertEqual(whole_pruner.rho, pruner.rho)
            other = loop.Settings(9, 0.05, 32)
            train, test = tiny_task(128)
            self.assertRaises(ValueError, loop.fit, resumed, train, test,
                              data.Preprocess([0.0], [1.0]), other, "admm", checkpoint=path, log=str)

    def test_hard_state(self):
        torch.manual_seed(2)
        model = Tiny()
        pruner = Pruner(model, plan(model, spatial=Rule(pattern=4, connectivity=2.0, group=4)))
        masks = pruner.harden()
        state = pruner.state_dict()
        torch.manual_seed(7)
        fresh = Tiny()
        other = Pruner(fresh, plan(fresh, spatial=Rule(pattern=4, connectivity=2.0, group=4)))
        fresh.load_state_dict(model.state_dict())
        other.load_state_dict(state)
        self.assertTrue(other.hard)
        self.assertEqual(other.penalty(), 0.0)
        with torch.no_grad():
            fresh.second.weight.fill_(1.0)
        other.step()
        self.assertTrue(torch.equal(fresh.second.weight.bool(), masks["second"]))


if __name__ == "__main__":
    unittest.main()
