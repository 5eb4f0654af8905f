# SPDX-License-Identifier: MIT
"""Groups of filters that share channel and pattern.

Filter-level load redundancy elimination (PatDNN, section 5.4) shares a loaded input
between filters that use the same channel with the same pattern.  Left to itself
training gives few such pairs; a group makes them certain, at the cost of freedom.
"""

import torch


def form_groups(weight, size):
    """Sort the filters of a weight [OC, IC, KH, KW] into groups of `size` by similarity.

    A filter is described by its squared weights: what a shared mask retains is the sum
    of these over the group, so filters whose energy lies at the same taps lose least.
    Greedy: the strongest free filter opens a group and takes the filters of largest
    cosine to the group's sum, one at a time.  Returns int64 [OC], the group of each
    filter; the last group is smaller where OC is no multiple.
    """
    if size < 1:
        raise ValueError("a group has at least one filter")
    energy = weight.detach().double().square().flatten(1)
    norm = energy.norm(dim=1).clamp_min(1e-30)
    free = torch.ones(len(energy), dtype=torch.bool)
    groups = torch.empty(len(energy), dtype=torch.int64)
    number = 0
    while free.any():
        member = int(torch.where(free, norm, -torch.ones_like(norm)).argmax())
        total = torch.zeros_like(energy[0])
        for _ in range(min(size, int(free.sum()))):
            free[member], groups[member] = False, number
            total += energy[member]
            closeness = energy @ total / norm
            closeness[~free] = -1
            member = int(closeness.argmax())
        number += 1
    return groups
