# SPDX-License-Identifier: MIT
"""Which structure each layer gets.

A Rule describes one layer; plan() gives every convolution and linear layer of a net
its rule, from one rule for spatial kernels, one for the others, and overrides.
"""

import dataclasses
import fnmatch

from torch import nn

from . import project


@dataclasses.dataclass(frozen=True)
class Rule:
    """The structure of one layer; leave out what does not apply.

    pattern: kept entries of each kernel (4 of 9), from a set of `patterns` for the whole
    net, which all hold the centre if `centre`.  connectivity: rate >= 1; one of that many
    kernels stays.  group: filters that share channel and pattern.  block: kept
    fraction (0, 1] of the positions of blocks of 8 filters x 4 channels.  nm: (N, M).
    unstructured: kept fraction (0, 1].  Pattern and connectivity go together; of
    {pattern/connectivity, block, nm, unstructured} a layer has one.
    """

    pattern: int = 0
    patterns: int = 8
    centre: bool = True
    connectivity: float = 1.0
    group: int = 1
    block: float = 0.0
    nm: tuple = ()
    unstructured: float = 0.0

    def __post_init__(self):
        kinds = [bool(self.pattern or self.connectivity > 1), bool(self.block), bool(self.nm),
                 bool(self.unstructured)]
        if sum(kinds) > 1:
            raise ValueError("pattern/connectivity, block, nm and unstructured exclude each other")
        if self.group > 1 and (self.block or self.unstructured):
            raise ValueError("groups are for patterns, connectivity and N:M")

    def any(self):
        return bool(self.pattern or self.connectivity > 1 or self.block or self.nm
                    or self.unstructured)

    def constraints(self, patterns, groups):
        """The sets that ADMM splits the weight to, as {name: function weight -> mask}.

        `patterns`: bool [P, KH*KW] where the rule has one; `groups`: int64 [OC] or None.
        """
        parts = {}
        if self.pattern:
            parts["pattern"] = lambda w: project.pattern_mask(w, patterns, groups)
        if self.connectivity > 1:
            rate = self.connectivity
            parts["connectivity"] = lambda w: project.connectivity_mask(w, rate, groups)
        if self.block:
            parts["block"] = lambda w: project.block_mask(w, self.block)
        if self.nm:
            parts["nm"] = lambda w: project.nm_mask(w, *self.nm, groups)
        if self.unstructured:
            parts["unstructured"] = lambda w: project.unstructured_mask(w, self.unstructured)
        return parts


def prunable(model):
    """{name: module} of the Conv2d and Linear layers in order of definition."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, (nn.Conv2d, nn.Linear))}


def fit_rule(rule, module):
    """The part of a default rule that suits a layer, or None.

    Patterns need more positions than entries; connectivity needs more than one input
    channel per filter (a depthwise filter would vanish).
    """
    weight = module.weight
    positions = weight[0, 0].numel() if weight.dim() == 4 else 1
    if rule.pattern and positions <= rule.pattern:
        rule = dataclasses.replace(rule, pattern=0)
    if rule.connectivity > 1 and weight.shape[1] == 1:
        rule = dataclasses.replace(rule, connectivity=1.0)
    if rule.nm and weight.shape[1] < rule.nm[1]:
        rule = dataclasses.replace(rule, nm=())
    return rule if rule.any() else None


def plan(model, spatial=None, other=None, overrides=None, first_connectivity=False):
    """{layer name: Rule} for a model.

    spatial: Rule for convolutions of more than one position; other: Rule for 1x1 and
    linear layers; both are cut down to what suits a layer.  overrides: {name or glob:
    Rule or None}, taken as they are; the last that matches counts.  The first
    convolution gets only the pattern of its rule unless `first_connectivity`: it has
    few weights and every later layer depends on it (PatDNN, section 4.2).
    Raises ValueError for an override that matches no layer.
    """
    layers, rules = prunable(model), {}
    first = next((n for n, m in layers.items() if isinstance(m, nn.Conv2d)), None)
    for name, module in layers.items():
        is_spatial = isinstance(module, nn.Conv2d) and module.weight[0, 0].numel() > 1
        rule = spatial if is_spatial else other
        if rule and name == first and not first_connectivity:
            rule = dataclasses.replace(rule, connectivity=1.0, block=0.0, nm=(), unstructured=0.0)
        rules[name] = fit_rule(rule, module) if rule else None
    for glob, rule in (overrides or {}).items():
        names = fnmatch.filter(layers, glob)
        if not names:
            raise ValueError(f"override {glob!r} matches no layer of {', '.join(layers)}")
        for name in names:
            rules[name] = rule
    return {name: rule for name, rule in rules.items() if rule and rule.any()}
