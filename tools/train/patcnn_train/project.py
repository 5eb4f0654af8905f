# SPDX-License-Identifier: MIT
"""Projections onto the sparsity structures: the Z and Y steps of extended ADMM.

Every function takes a weight tensor fp32 [OC, IC, KH, KW] (a linear layer's [O, I] is
seen as [O, I, 1, 1]) and returns a bool mask of that shape.  weight * mask is the
Euclidean projection: each structure is a choice among coordinate subspaces, and the
nearest point of such a union is the choice that retains the largest L2 norm.  Ties go
to the lower index, so a projection is a function and projecting twice changes nothing.

`groups` (int64 [OC], or None for every filter on its own) puts filters together that
must share one choice; scores are summed over a group (see groups.py).
"""

import itertools
import math

import torch


def candidates(entries, centre=True, kernel=(3, 3)):
    """All patterns of `entries` kept positions: bool [P, KH*KW] in raster order.

    With `centre` the middle position is in each: C(8, 3) = 56 for 4 of 9, else 126
    (PatDNN, section 4.1).  Raises ValueError if a kernel has no such pattern.
    """
    size = kernel[0] * kernel[1]
    middle = (kernel[0] // 2) * kernel[1] + kernel[1] // 2
    if not 0 < entries <= size:
        raise ValueError(f"{entries} of {size} positions is no pattern")
    rows = [c for c in itertools.combinations(range(size), entries)
            if middle in c or not centre]
    table = torch.zeros(len(rows), size, dtype=torch.bool)
    table[torch.arange(len(rows))[:, None], torch.tensor(rows)] = True
    return table


def choose_patterns(weights, entries=4, count=8, centre=True):
    """The `count` patterns for a whole net: bool [count, KH*KW].

    `weights`: the net's weight tensors of one kernel size.  PatDNN (section 4.1) counts
    for how many kernels a candidate is the best; here candidates are taken greedily by
    how much norm the set so far plus the candidate retains when each kernel uses its
    best, since the most popular patterns overlap; then single patterns are exchanged
    for better ones until none is.  Layers are brought to equal energy per kernel
    first, so that large weights do not decide for the others.
    """
    kernel = tuple(weights[0].shape[2:])
    table = candidates(entries, centre, kernel)
    if not 0 < count <= len(table):
        raise ValueError(f"{count} patterns wanted, there are {len(table)} candidates")
    scores = []
    for weight in weights:
        if tuple(weight.shape[2:]) != kernel:
            raise ValueError("one pattern set is for one kernel size")
        energy = weight.detach().float().square().flatten(2).flatten(0, 1)
        scores.append(energy / energy.sum(1).mean().clamp_min(1e-30) @ table.float().T)
    scores = torch.cat(scores)
    chosen = []
    while len(chosen) < count:
        chosen.append(best_addition(scores, chosen)[0])
    exchanged = True
    while exchanged:
        exchanged = False
        for place in range(count):
            rest = chosen[:place] + chosen[place + 1:]
            better, gain = best_addition(scores, rest)
            # A margin above rounding, so that equals are not exchanged for ever.
            if gain > retained_gain(scores, rest, chosen[place]) * (1 + 1e-6):
                chosen[place], exchanged = better, True
    return table[sorted(chosen)]


def retained_gain(scores, chosen, extra):
    """What candidate `extra` adds to the norm retained by the set `chosen`; `scores` is
    fp32 [kernels, candidates], the norm that each candidate retains of each kernel."""
    best = scores[:, chosen].amax(1) if chosen else torch.zeros(len(scores))
    return float((scores[:, extra] - best).clamp_min(0).double().sum())


def best_addition(scores, chosen):
    """(candidate, gain): the one outside `chosen` that adds most."""
    best = scores[:, chosen].amax(1) if chosen else torch.zeros(len(scores))
    gain = torch.stack([(column - best).clamp_min(0).double().sum() for column in scores.T])
    gain[chosen] = -1
    return int(gain.argmax()), float(gain.max())


def as_kernels(weight):
    """[OC, IC] or [OC, IC, KH, KW] as the latter, detached."""
    weight = weight.detach()
    return weight if weight.dim() == 4 else weight[:, :, None, None]


def group_energy(weight, groups):
    """Squared weights summed over each group: double [groups, IC, KH*KW]."""
    energy = weight.double().square().flatten(2)
    if groups is None:
        return energy
    total = energy.new_zeros(int(groups.max()) + 1, *energy.shape[1:])
    return total.index_add_(0, groups, energy)


def spread(mask, groups, weight):
    """A mask [groups, IC, KH*KW] given back to the filters, in the weight's shape."""
    return (mask if groups is None else mask[groups]).reshape(weight.shape)


def largest(score, count):
    """Bool mask of exactly `count` largest elements of a tensor, lower index first."""
    order = torch.sort(score.flatten(), descending=True, stable=True).indices[:count]
    mask = torch.zeros(score.numel(), dtype=torch.bool)
    mask[order] = True
    return mask.reshape(score.shape)


def pattern_mask(weight, patterns, groups=None):
    """Each kernel takes the pattern of the set (bool [P, KH*KW]) that retains its
    largest norm (PatDNN, section 4.1)."""
    weight = as_kernels(weight)
    energy = group_energy(weight, groups)
    if energy.shape[2] != patterns.shape[1]:
        raise ValueError(f"patterns of {patterns.shape[1]} positions, kernels of {energy.shape[2]}")
    return spread(patterns[(energy @ patterns.double().T).argmax(2)], groups, weight)


def connectivity_mask(weight, rate, groups=None):
    """The ceil(OC*IC / rate) kernels of largest norm stay whole (PatDNN, section 4.2).

    With groups a unit is the same input channel in all filters of a group, and
    ceil(groups*IC / rate) units stay.  Raises ValueError for a rate below 1.
    """
    if rate < 1:
        raise ValueError("a connectivity rate is at least 1 (1 keeps all)")
    weight = as_kernels(weight)
    energy = group_energy(weight, groups)
    norm = energy.sum(2)
    kept = largest(norm, math.ceil(norm.numel() / rate))
    return spread(kept[:, :, None].expand_as(energy), groups, weight)


def block_mask(weight, keep, rows=8, columns=4):
    """Block-punched (YOLObile): within a block of `rows` filters x
    `columns` consecutive input channels a kernel position is kept or removed for all.
    The ceil(positions * keep) of largest norm in the layer stay; edge blocks are
    smaller.  For 1x1 and linear layers a block has one position: itself."""
    if not 0 < keep <= 1:
        raise ValueError("the kept fraction is in (0, 1]")
    weight = as_kernels(weight)
    outputs, inputs = weight.shape[:2]
    energy = weight.double().square().flatten(2)
    row, column = torch.arange(outputs) // rows, torch.arange(inputs) // columns
    total = energy.new_zeros(int(row[-1]) + 1, int(column[-1]) + 1, energy.shape[2])
    total.index_put_((row[:, None], column[None, :]), energy, accumulate=True)
    kept = largest(total, math.ceil(total.numel() * keep))
    return kept[row[:, None], column[None, :]].reshape(weight.shape)


def nm_mask(weight, n, m, groups=None):
    """N:M: of every `m` consecutive input channels at one kernel position the `n` of
    largest magnitude stay (consecutive in an HWC im2col row, as in the MLSys 2025 kernels).

    A last block of fewer than m channels keeps at most n too.
    """
    if not 0 < n < m:
        raise ValueError(f"{n}:{m} is no N:M sparsity")
    weight = as_kernels(weight)
    energy = group_energy(weight, groups)
    inputs = energy.shape[1]
    # A pad channel scores below any weight, so it is taken only where none is left.
    padded = torch.nn.functional.pad(energy.transpose(1, 2), (0, -inputs % m), value=-1.0)
    blocks = padded.reshape(*padded.shape[:2], -1, m)
    order = torch.sort(blocks, dim=3, descending=True, stable=True).indices[..., :n]
    mask = torch.zeros_like(blocks, dtype=torch.bool).scatter_(3, order, True)
    mask = mask.flatten(2)[:, :, :inputs].transpose(1, 2)
    return spread(mask, groups, weight)


def unstructured_mask(weight, keep):
    """The ceil(count * keep) largest weights of a layer, anywhere."""
    if not 0 < keep <= 1:
        raise ValueError("the kept fraction is in (0, 1]")
    weight = as_kernels(weight)
    return largest(weight.double().square(), math.ceil(weight.numel() * keep))
