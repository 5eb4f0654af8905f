# SPDX-License-Identifier: MIT
"""A training loop for the examples: SGD with a one-cycle rate, resumable.

One's own loop needs none of this; it calls Pruner directly (see admm.py).  Every
random choice is drawn from a generator seeded by (seed, phase, epoch), so that a run
that was interrupted and resumed equals one that was not.
"""

import os
import pathlib
import time
import zlib

import torch
import torch.nn.functional as F


def default_log(text):
    print(text, flush=True)


def predict(model, preprocess, images, batch=500):
    """Logits fp32 [N, classes] of raw uint8 images, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(preprocess(part)) for part in images.split(batch)])


def accuracy(model, preprocess, split):
    """Correct predictions on a Split, in percent."""
    hits = predict(model, preprocess, split.images).argmax(1) == split.labels
    return 100.0 * hits.float().mean().item()


def atomic_save(state, path):
    """torch.save through a temporary name: an interrupted write keeps the old file."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


class Settings:
    """What one phase of training uses; all fields may be changed after creation.

    epochs; lr: peak of the one-cycle rate; batch; decay: weight decay (not applied to
    biases and batch norm); warm: fraction of the steps that the rate rises; bf16:
    matrix work in bfloat16 where the CPU has it; smooth: label smoothing;
    augment: function (uint8 images, generator) -> uint8 images, or None; teacher: a
    model whose logits the net is to follow, or None (see distil()).
    """

    def __init__(self, epochs, lr, batch=128, decay=5e-4, warm=0.2, bf16=False, smooth=0.0,
                 augment=None, teacher=None):
        self.epochs, self.lr, self.batch, self.decay = epochs, lr, batch, decay
        self.warm, self.bf16, self.smooth, self.augment = warm, bf16, smooth, augment
        self.teacher = teacher


def make_optimiser(model, settings, steps):
    """SGD with Nesterov momentum 0.9 and its one-cycle schedule over `steps`."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimiser = torch.optim.SGD([{"params": decayed, "weight_decay": settings.decay},
                                 {"params": plain, "weight_decay": 0.0}],
                                lr=settings.lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=settings.lr, total_steps=steps, pct_start=settings.warm,
        cycle_momentum=False, div_factor=10, final_div_factor=100)
    return optimiser, schedule


def fit(model, train, test, preprocess, settings, phase="train", pruner=None, seed=1,
        checkpoint=None, log=default_log):
    """Train for settings.epochs; returns the test accuracy in percent at the end.

    `pruner`: a Pruner whose penalty is added to the loss (ADMM) or whose masks are kept
    (after harden()).  `checkpoint`: a path; after every epoch the whole state goes
    there, and a file already there is continued from (a finished one is only loaded).
    """
    steps = max(1, len(train) // settings.batch)
    optimiser, schedule = make_optimiser(model, settings, steps * settings.epochs)
    first, reached = 0, None
    if checkpoint and pathlib.Path(checkpoint).exists():
        state = torch.load(checkpoint, map_location="cpu")
        if state["phase"] != phase or state["epochs"] != settings.epochs:
            raise ValueError(f"{checkpoint} is of another run ({state['phase']}, "
                             f"{state['epochs']} epochs); remove it to start afresh")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        if pruner:
            pruner.load_state_dict(state["pruner"])
        first, reached = state["epoch"], state.get("reached")
        log(f"{phase}: continued after epoch {first} of {settings.epochs}")
    model.to(memory_format=torch.channels_last)
    for epoch in range(first, settings.epochs):
        begin = time.monotonic()
        loss = train_epoch(model, train, preprocess, settings, optimiser, schedule, pruner,
                           zlib.crc32(f"{seed} {phase} {epoch}".encode()))
        text = f"{phase} {epoch + 1}/{settings.epochs}: loss {loss:.4f}"
        if (epoch + 1) % 5 == 0 or epoch + 1 == settings.epochs:
            reached = accuracy(model, preprocess, test)
            text += f" test {reached:.2f}%"
        if pruner:
            text += f" {pruner.progress()}"
        log(f"{text} {time.monotonic() - begin:.1f} s")
        if checkpoint:
            atomic_save({"phase": phase, "epochs": settings.epochs, "epoch": epoch + 1,
                         "reached": reached,
                         "model": model.state_dict(), "optimiser": optimiser.state_dict(),
                         "schedule": schedule.state_dict(),
                         "pruner": pruner.state_dict() if pruner else None}, checkpoint)
    return accuracy(model, preprocess, test) if reached is None else reached


def distil(loss, logits, taught, temperature=4.0, share=0.9):
    """`loss` mixed with the distance from a teacher's softened answers, a scalar:
    (1 - share) * loss + share * T^2 * KL(softmax(taught / T) || softmax(logits / T)).

    logits, taught: [N, classes].  Hinton, Vinyals, Dean 2015, section 2; T^2 keeps the
    gradient's size independent of T.
    """
    distance = F.kl_div(F.log_softmax(logits / temperature, 1),
                        F.log_softmax(taught / temperature, 1), reduction="batchmean",
                        log_target=True)
    return (1 - share) * loss + share * temperature ** 2 * distance


def train_epoch(model, train, preprocess, settings, optimiser, schedule, pruner, seed):
    """One pass over a Split in random order (a last short batch is left out); returns
    the mean loss against the labels."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator)
    total, steps = 0.0, max(1, len(train) // settings.batch)
    model.train()
    if settings.teacher:
        settings.teacher.eval()
    for step in range(steps):
        index = order[step * settings.batch:(step + 1) * settings.batch]
        images = train.images[index]
        if settings.augment:
            images = settings.augment(images, generator)
        inputs = preprocess(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float(), train.labels[index],
                               label_smoothing=settings.smooth)
        total += loss.item()
        if settings.teacher:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
                taught = settings.teacher(inputs)
            loss = distil(loss, logits.float(), taught.float())
        if pruner:
            loss = loss + pruner.penalty()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if pruner:
            pruner.step()
    return total / steps
