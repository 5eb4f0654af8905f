# SPDX-License-Identifier: MIT
"""Images as uint8 tensors, their preprocessing, and the files they are kept in.

A Split holds raw 0..255 images [N, C, H, W] and labels [N].  Preprocessing is
always x = (u8 - mean[c]) * scale[c] in fp32, with mean and scale in units of one
grey level: what `patcnn compile --input-type u8 --mean --scale` does on the device.
"""

import json
import pathlib
import struct

import numpy as np
import torch


class Split:
    """Raw images uint8 [N, C, H, W] with labels int64 [N]."""

    def __init__(self, images, labels):
        if images.dtype != torch.uint8 or images.dim() != 4 or len(images) != len(labels):
            raise ValueError("images must be uint8 [N, C, H, W], one label each")
        self.images, self.labels = images, labels.long()

    def __len__(self):
        return len(self.labels)


class Preprocess:
    """(u8 - mean) * scale per channel; mean and scale are fp32 lists of C numbers."""

    def __init__(self, mean, scale):
        self.mean = torch.tensor(mean, dtype=torch.float32)
        self.scale = torch.tensor(scale, dtype=torch.float32)

    @classmethod
    def measure(cls, split):
        """Zero mean and unit variance over a split, rounded to what the JSON file
        keeps, so that training and the device use the very same numbers."""
        pixels = split.images.double().transpose(0, 1).flatten(1)
        return cls([round(v, 4) for v in pixels.mean(1).tolist()],
                   [round(1 / v, 8) for v in pixels.std(1).tolist()])

    def __call__(self, images):
        """uint8 [N, C, H, W] -> fp32 of the same shape."""
        return (images.float() - self.mean[:, None, None]) * self.scale[:, None, None]


def shift_crop(images, generator, border, flip):
    """Augment: shift each image by up to `border` pixels (zeros come in) and, where
    `flip` is set, mirror every second one.  uint8 [N, C, H, W] in and out."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [border] * 4)
    shift = torch.randint(0, 2 * border + 1, (2, count), generator=generator)
    rows = torch.arange(height) + shift[0][:, None]
    columns = torch.arange(width).expand(count, width)
    if flip:
        mirror = torch.rand(count, generator=generator) < 0.5
        columns = torch.where(mirror[:, None], columns.flip(1), columns)
    columns = columns + shift[1][:, None]
    picked = padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def load_digits(test_fraction=0.25, seed=2021):
    """scikit-learn's 1797 scanned digits, a fixed stratified split.

    The scans' values 0..16 become uint8 round(v * 255 / 16).  Returns (train, test).
    """
    from sklearn.datasets import load_digits as scans
    from sklearn.model_selection import train_test_split
    digits = scans()
    images = np.floor(digits.images * 255 / 16 + 0.5).astype(np.uint8)[:, None]
    train, test = train_test_split(np.arange(len(images)), test_size=test_fraction,
                                   random_state=seed, stratify=digits.target)
    return tuple(Split(torch.from_numpy(images[part]), torch.from_numpy(digits.target[part]))
                 for part in (np.sort(train), np.sort(test)))


def load_folders(directory, cache=None):
    """DIRECTORY/{train,test}/CLASS/*.jpg (or png) as (train, test, class names).

    Class numbers follow the alphabet.  With `cache` (a .npz path) the decoded pixels
    are kept there and read back the next time.  Raises FileNotFoundError if there
    are no images, ValueError if two images differ in size.
    """
    from PIL import Image
    cache = pathlib.Path(cache) if cache else None
    if cache and cache.exists():
        kept = np.load(cache)
    else:
        names = sorted(p.name for p in pathlib.Path(directory, "train").glob("*") if p.is_dir())
        kept = {"names": np.array(names)}
        for part in ("train", "test"):
            files = [(f, n) for n, name in enumerate(names)
                     for f in sorted(pathlib.Path(directory, part, name).iterdir())]
            if not files:
                raise FileNotFoundError(f"no images under {directory}/{part}/CLASS/")
            kept[part] = np.stack([np.asarray(Image.open(f).convert("RGB")) for f, _ in files])
            kept[part + "_labels"] = np.array([n for _, n in files], dtype=np.uint8)
        if cache:
            cache.parent.mkdir(parents=True, exist_ok=True)
            np.savez(cache, **kept)
    splits = [Split(torch.from_numpy(kept[p]).permute(0, 3, 1, 2).contiguous(),
                    torch.from_numpy(kept[p + "_labels"])) for p in ("train", "test")]
    return splits[0], splits[1], [str(n) for n in kept["names"]]


def write_idx(path, array):
    """Write a uint8 array in the IDX format of the MNIST files: two zero bytes,
    type 8 (u8), the number of dimensions, big-endian sizes, then the bytes."""
    array = np.ascontiguousarray(array, dtype=np.uint8)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    pathlib.Path(path).write_bytes(header + array.tobytes())


def read_idx(path):
    """The uint8 array of an IDX file.  Raises ValueError if it is not one."""
    blob = pathlib.Path(path).read_bytes()
    if len(blob) < 4 or blob[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = struct.unpack_from(f">{blob[3]}I", blob, 4)
    return np.frombuffer(blob, np.uint8, offset=4 + 4 * blob[3]).reshape(shape)


def write_description(path, labels, preprocess, shape, layout):
    """The JSON file that goes with a model: labels, and how u8 images become input.

    `shape` is [C, H, W] of the net's input; `layout` names the order of the channels
    in an image file ("grey" or "rgb").
    """
    pathlib.Path(path).write_text(json.dumps({
        "labels": labels,
        "input": {"shape": list(shape), "layout": layout, "formula": "(u8 - mean) * scale",
                  "mean": [round(float(m), 4) for m in preprocess.mean],
                  "scale": [round(float(s), 8) for s in preprocess.scale]},
    }) + "\n")


def read_description(path):
    """(labels, Preprocess, [C, H, W]) from a file of write_description()."""
    kept = json.loads(pathlib.Path(path).read_text())
    source = kept["input"]
    return kept["labels"], Preprocess(source["mean"], source["scale"]), source["shape"]
