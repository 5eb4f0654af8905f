# SPDX-License-Identifier: MIT
"""Extended ADMM: training a net until its weights lie in a sparsity structure.

PatDNN (section 4.2) minimises  f(W) + g(Z) + h(Y)  with W = Z and W = Y, where g and h
are the indicators of the pattern and of the connectivity set.  Scaled form:

    W  <- SGD on  CE(W) + rho/2 (||W - Z + U||^2 + ||W - Y + V||^2)     penalty()
    Z  <- project_pattern(W + U),  Y <- project_connectivity(W + V)     update()
    U  <- U + W - Z,               V <- V + W - Y

A layer with one constraint (block, N:M) has one such pair.  At the end harden() projects
W onto the intersection and step() keeps the zeros while the rest is trained on.

In a training loop:

    pruner = Pruner(model, plan(model, spatial=Rule(pattern=4, connectivity=3.6)))
    for epoch in range(admm + retraining):
        if epoch == admm:
            pruner.harden()
        for x, y in loader:
            loss = criterion(model(x), y) + pruner.penalty()
            optimiser.zero_grad(); loss.backward(); optimiser.step()
            pruner.step()
"""

import torch

from . import groups, project, rules


class Layer:
    """One pruned layer: its weight, constraints, and per constraint Z and scaled dual U
    (both fp32, in the weight's shape)."""

    def __init__(self, name, weight, rule, patterns, members):
        self.name, self.weight, self.rule = name, weight, rule
        self.members = members
        self.parts = rule.constraints(patterns, members)
        self.targets = {part: weight.detach() * self.mask_of(part, weight) for part in self.parts}
        self.duals = {part: torch.zeros_like(weight) for part in self.parts}
        self.mask = None

    def mask_of(self, part, weight):
        """The mask of one constraint, in the shape of this layer's weight."""
        return self.parts[part](weight).reshape(self.weight.shape)

    def final_mask(self):
        """Mask of the intersection of all constraints: each constraint chooses on what
        the one before it retained.  For pattern then connectivity this is the exact
        projection onto both, because a kernel's best pattern does not depend on which
        other kernels stay."""
        mask, weight = torch.ones_like(self.weight, dtype=torch.bool), self.weight.detach()
        for part in self.parts:
            mask &= self.mask_of(part, weight * mask)
        return mask

    def residual(self):
        """||W - Z|| / ||W||, the largest over the constraints."""
        weight = self.weight.detach()
        norm = weight.norm().clamp_min(1e-30)
        return max(float((weight - z).norm() / norm) for z in self.targets.values())


class Pruner:
    """Drives a model's weights into the structure of `plan` ({layer name: Rule}).

    rho: weight of the penalty, multiplied by `growth` at each update up to `rho_max`;
    interval: optimiser steps between two updates of Z, Y and the duals.
    The pattern set is chosen and the groups are formed here, so give the pre-trained
    model.  Not safe for use from several threads at once.
    """

    def __init__(self, model, plan, rho=1e-3, growth=1.3, rho_max=0.1, interval=100):
        layers = rules.prunable(model)
        missing = [name for name in plan if name not in layers]
        if missing:
            raise ValueError(f"no convolution or linear layer named {', '.join(missing)}")
        self.rho, self.growth, self.rho_max, self.interval = rho, growth, rho_max, interval
        self.steps = 0
        self.pattern_sets = self.choose_sets(plan, layers)
        self.layers = [Layer(name, layers[name].weight, rule,
                             self.pattern_sets.get(self.set_key(layers[name], rule)),
                             groups.form_groups(layers[name].weight, rule.group)
                             if rule.group > 1 else None)
                       for name, rule in plan.items()]
        self.hard = False

    @staticmethod
    def set_key(module, rule):
        """Layers of one kernel size, entry count, set size and centre share a set."""
        if not rule.pattern:
            return None
        return (*module.weight.shape[2:], rule.pattern, rule.patterns, rule.centre)

    def choose_sets(self, plan, layers):
        weights = {}
        for name, rule in plan.items():
            if rule.pattern:
                weights.setdefault(self.set_key(layers[name], rule), []).append(layers[name].weight)
        return {key: project.choose_patterns(group, *key[2:]) for key, group in weights.items()}

    def penalty(self):
        """rho/2 * sum ||W - Z + U||^2, a scalar with gradient; 0 after harden()."""
        if self.hard:
            return 0.0
        total = 0.0
        for layer in self.layers:
            for part, target in layer.targets.items():
                total = total + (layer.weight - (target - layer.duals[part])).square().sum()
        return 0.5 * self.rho * total

    def step(self):
        """Call after every optimiser step."""
        if self.hard:
            self.apply_masks()
            return
        self.steps += 1
        if self.steps % self.interval == 0:
            self.update()

    @torch.no_grad()
    def update(self):
        """The Z, Y and dual steps of all layers, then a larger rho."""
        for layer in self.layers:
            weight = layer.weight.detach()
            for part, dual in layer.duals.items():
                moved = weight + dual
                layer.targets[part] = moved * layer.mask_of(part, moved)
                layer.duals[part] = moved - layer.targets[part]
        rho = min(self.rho * self.growth, self.rho_max)
        # The scaled dual is y / rho: it has to follow rho (Boyd et al. 2011, 3.4.1).
        for layer in self.layers:
            for part in layer.duals:
                layer.duals[part] *= self.rho / rho
        self.rho = rho

    @torch.no_grad()
    def harden(self):
        """Set what is outside the structure to zero, for good; {layer name: bool mask}."""
        if not self.hard:
            for layer in self.layers:
                layer.mask = layer.final_mask()
            self.hard = True
            self.apply_masks()
        return {layer.name: layer.mask for layer in self.layers}

    @torch.no_grad()
    def apply_masks(self):
        for layer in self.layers:
            layer.weight.mul_(layer.mask)

    def residual(self):
        """The largest ||W - Z|| / ||W|| of all layers and constraints; 0 is converged."""
        return max((layer.residual() for layer in self.layers), default=0.0)

    def retained(self):
        """Fraction of the squared norm of the pruned layers that harden() would keep."""
        kept = total = 0.0
        for layer in self.layers:
            energy = layer.weight.detach().double().square()
            kept += float((energy * layer.final_mask()).sum())
            total += float(energy.sum())
        return kept / total if total else 1.0

    def progress(self):
        """One line for a log."""
        if self.hard:
            return f"masked, {len(self.layers)} layers"
        return f"rho {self.rho:.2g} residual {self.residual():.3f} retained {self.retained():.4f}"

    def state_dict(self):
        """Everything but the model's own weights, for torch.save()."""
        return {"rho": self.rho, "steps": self.steps, "hard": self.hard,
                "sets": self.pattern_sets,
                "layers": {layer.name: {"targets": layer.targets, "duals": layer.duals,
                                        "members": layer.members, "mask": layer.mask}
                           for layer in self.layers}}

    def load_state_dict(self, state):
        """Continue from a state_dict() of a Pruner with the same plan; KeyError else."""
        self.rho, self.steps, self.hard = state["rho"], state["steps"], state["hard"]
        self.pattern_sets = state["sets"]
        for layer in self.layers:
            kept = state["layers"][layer.name]
            if set(kept["targets"]) != set(layer.parts):
                raise KeyError(f"{layer.name}: saved with other constraints")
            layer.members, layer.mask = kept["members"], kept["mask"]
            layer.targets, layer.duals = dict(kept["targets"]), dict(kept["duals"])
            kernel = tuple(layer.weight.shape[2:])
            key = (*kernel, layer.rule.pattern, layer.rule.patterns, layer.rule.centre)
            layer.parts = layer.rule.constraints(self.pattern_sets.get(key), layer.members)
