# SPDX-License-Identifier: MIT
"""Projections: exact counts, optimal norm against brute force, idempotence, grouping."""

import itertools
import math
import unittest

import torch

from patcnn_train import groups, project


def weights(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def norm(weight, mask):
    return float((weight.double().square() * mask).sum())


class Patterns(unittest.TestCase):
    def test_candidates(self):
        for entries, centre, count in ((4, True, 56), (4, False, 126), (5, True, 70), (5, False, 126)):
            table = project.candidates(entries, centre)
            self.assertEqual(len({tuple(p.tolist()) for p in table}), count)
            self.assertTrue((table.sum(1) == entries).all())
            self.assertEqual(bool(table[:, 4].all()), centre)
        self.assertRaises(ValueError, project.candidates, 10)

    def test_counts_and_membership(self):
        weight = weights(24, 7, 3, 3)
        for entries, centre in ((4, True), (5, False)):
            patterns = project.choose_patterns([weight], entries, 8, centre)
            self.assertEqual(tuple(patterns.shape), (8, 9))
            mask = project.pattern_mask(weight, patterns)
            self.assertTrue((mask.sum((2, 3)) == entries).all())
            known = {tuple(p.tolist()) for p in patterns}
            self.assertLessEqual({tuple(k.tolist()) for k in mask.reshape(-1, 9)}, known)

    def test_optimal_and_idempotent(self):
        weight = weights(6, 5, 3, 3)
        patterns = project.choose_patterns([weight], 4, 6)
        mask = project.pattern_mask(weight, patterns)
        for oc, ic in itertools.product(range(6), range(5)):
            best = max(norm(weight[oc, ic].flatten(), p) for p in patterns)
            self.assertAlmostEqual(norm(weight[oc, ic], mask[oc, ic]), best)
        again = project.pattern_mask(weight * mask, patterns)
        self.assertTrue(torch.equal(again, mask))

    def test_planted_set_is_found(self):
        """Kernels that hold only six patterns are retained whole by a set of six, and
        a scale that differs by layer does not hide a small layer's patterns."""
        table = project.candidates(4)
        planted = table[[3, 11, 19, 30, 41, 52]]
        layers = []
        for part, scale in ((planted[:3], 100.0), (planted[3:], 0.01)):
            layer = weights(30, 10, 3, 3, seed=len(layers)).reshape(300, 9)
            layers.append((layer * part[torch.arange(300) % 3] * scale).reshape(30, 10, 3, 3))
        chosen = project.choose_patterns(layers, 4, 6)
        self.assertEqual({tuple(p.tolist()) for p in chosen}, {tuple(p.tolist()) for p in planted})

    def test_errors(self):
        self.assertRaises(ValueError, project.choose_patterns, [weights(2, 2, 3, 3)], 4, 57)
        self.assertRaises(ValueError, project.choose_patterns,
                          [weights(2, 2, 3, 3), weights(2, 2, 5, 5)], 4, 8)
        self.assertRaises(ValueError, project.pattern_mask, weights(2, 2, 5, 5),
                          project.candidates(4))


class Connectivity(unittest.TestCase):
    def test_count(self):
        for shape, rate in (((8, 8, 3, 3), 3.6), ((5, 7, 3, 3), 2.0), ((3, 3, 1, 1), 4.0),
                            ((6, 4, 3, 3), 1.0), ((2, 2, 3, 3), 100.0)):
            mask = project.connectivity_mask(weights(*shape), rate)
            kernels = mask.flatten(2)
            self.assertEqual(int(kernels.any(2).sum()), math.ceil(shape[0] * shape[1] / rate))
            self.assertTrue(torch.equal(kernels.any(2), kernels.all(2)))
        self.assertRaises(ValueError, project.connectivity_mask, weights(2, 2, 3, 3), 0.5)

    def test_optimal_and_idempotent(self):
        weight = weights(3, 3, 3, 3)
        mask = project.connectivity_mask(weight, 2.25)
        energy = weight.double().square().sum((2, 3)).flatten().tolist()
        best = max(sum(c) for c in itertools.combinations(energy, 4))
        self.assertAlmostEqual(norm(weight, mask), best)
        self.assertTrue(torch.equal(project.connectivity_mask(weight * mask, 2.25), mask))

    def test_zero_weight_keeps_the_count(self):
        mask = project.connectivity_mask(torch.zeros(4, 4, 3, 3), 4)
        self.assertEqual(int(mask.flatten(2).any(2).sum()), 4)

    def test_linear(self):
        self.assertEqual(int(project.connectivity_mask(weights(10, 20), 4).sum()), 50)


class Groups(unittest.TestCase):
    def test_sizes(self):
        for outputs, size in ((16, 4), (10, 4), (5, 1), (3, 8)):
            members = groups.form_groups(weights(outputs, 3, 3, 3), size)
            counts = torch.bincount(members)
            self.assertEqual(len(counts), math.ceil(outputs / size))
            self.assertTrue((counts[:-1] == size).all())
            self.assertEqual(int(counts.sum()), outputs)

    def test_planted_groups_are_found(self):
        places = torch.rand(6, 8, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.2
        order = torch.randperm(24, generator=torch.Generator().manual_seed(2)) % 6
        members = groups.form_groups((weights(24, 8, 3, 3) + 2) * places[order], 4)
        for number in range(6):
            self.assertEqual(len(set(order[members == number].tolist())), 1)

    def test_shared_masks(self):
        weight = weights(16, 8, 3, 3)
        members = groups.form_groups(weight, 4)
        patterns = project.choose_patterns([weight], 4, 8)
        masks = [project.pattern_mask(weight, patterns, members),
                 project.connectivity_mask(weight, 3.6, members),
                 project.nm_mask(weight, 1, 4, members)]
        for mask in masks:
            for number in range(4):
                part = mask[members == number]
                self.assertTrue((part == part[0]).all())
        self.assertEqual(int(masks[1].flatten(2).any(2).sum()), 4 * math.ceil(4 * 8 / 3.6))
        free = project.pattern_mask(weight, patterns)
        self.assertGreater(norm(weight, free), norm(weight, masks[0]))


class Blocks(unittest.TestCase):
    def test_structure_and_count(self):
        weight = weights(20, 10, 5, 5)
        mask = project.block_mask(weight, 0.25)
        kept = 0
        for row, column in itertools.product(range(0, 20, 8), range(0, 10, 4)):
            block = mask[row:row + 8, column:column + 4].flatten(0, 1)
            self.assertTrue((block == block[0]).all())
            kept += int(block[0].sum())
        self.assertEqual(kept, math.ceil(3 * 3 * 25 * 0.25))
        self.assertTrue(torch.equal(project.block_mask(weight * mask, 0.25), mask))

    def test_optimal_for_linear(self):
        weight = weights(16, 12)
        mask = project.block_mask(weight, 0.5)
        blocks = weight.double().square().reshape(2, 8, 3, 4).sum((1, 3)).flatten().tolist()
        best = max(sum(c) for c in itertools.combinations(blocks, 3))
        self.assertAlmostEqual(norm(weight, mask[:, :, 0, 0]), best)


class NofM(unittest.TestCase):
    def test_counts(self):
        for n, m in ((1, 4), (1, 8), (1, 16), (2, 4)):
            mask = project.nm_mask(weights(6, 32, 3, 3), n, m)
            blocks = mask.reshape(6, 32 // m, m, 9)
            self.assertTrue((blocks.sum(2) == n).all())

    def test_last_block(self):
        mask = project.nm_mask(weights(4, 10, 3, 3), 1, 8)
        self.assertTrue((mask[:, :8].sum(1) == 1).all())
        self.assertTrue((mask[:, 8:].sum(1) == 1).all())

    def test_optimal_and_idempotent(self):
        weight = weights(5, 8, 3, 3)
        mask = project.nm_mask(weight, 2, 4)
        best = weight.double().square().reshape(5, 2, 4, 9).topk(2, 2).values.sum()
        self.assertAlmostEqual(norm(weight, mask), float(best))
        self.assertTrue(torch.equal(project.nm_mask(weight * mask, 2, 4), mask))
        self.assertRaises(ValueError, project.nm_mask, weight, 4, 4)


class Unstructured(unittest.TestCase):
    def test_count_and_threshold(self):
        weight = weights(4, 5, 3, 3)
        mask = project.unstructured_mask(weight, 0.2)
        self.assertEqual(int(mask.sum()), math.ceil(180 * 0.2))
        self.assertGreaterEqual(weight[mask].abs().min(), weight[~mask].abs().max())


if __name__ == "__main__":
    unittest.main()
