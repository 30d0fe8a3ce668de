"""Train the network that outlines the object of a click, and write its weights.

    OMP_NUM_THREADS=1 python tools/train_click_network.py DATA [--out FILE] [--without KIND ...]
        [--steps N] [--minutes M] [--seed S] [--rate R] [--last R] [--start FILE] [--json FILE]

DATA contains the sets that `object_sets.py` among the benchmarks reads. The network learns from
their training images, grey or in colour, and from synthetic micrographs of every shape and look;
never from a test image, and not from the frames that the test crops of phase contrast were cut
from. ``--without`` leaves sets out, or ``drawn`` ones.

Clicks are simulated. A batch holds prompts in every state: each step adds to most of them a click
in the middle of the largest error of its own prediction, and replaces the others by new objects. So
every prediction is also learnt from. A share of the first clicks is on the background: there the
expected overlap is 0.

The rate of learning falls with the steps, or with the minutes of processor time if these are over
first: the same weights come out again only where the steps are. A long training can be cut into
parts: each continues from the weights of the one before, at the rate that this one ended at.
"""

import argparse
import hashlib
import itertools
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from convert_pretrained import archived
from edt import edt
from object_sets import axons, cytology_nuclei, drawn, kinds, nuclei, phase_cells, stained_nuclei
from skimage.measure import label

from napari_unetseg.core import samples
from napari_unetseg.core.nn.networks.click_network import ClickNetwork, ConvNorm, without_norms
from napari_unetseg.core.prompts.click_maps import maps_of
from napari_unetseg.core.prompts.crops import SIDE, Crop, CropWindow, scaled_crop, to_crop
from napari_unetseg.core.prompts.grow_region import edges_of

Array = np.ndarray

READERS = {
    "nuclei": nuclei,
    "phase": phase_cells,
    "stained": stained_nuclei,
    "cytology": cytology_nuclei,
    "axons": axons,
}
SHARES = {
    "nuclei": 0.14,
    "phase": 0.16,
    "stained": 0.14,
    "cytology": 0.1,
    "axons": 0.14,
    "drawn": 0.32,
}
"""How often an object of each kind is met."""

DRAWN_EACH = 22
"""Synthetic micrographs of each shape and look."""

SCENES = 14
"""Synthetic micrographs of each specimen."""

HELD_OUT = 0.08
"""Share of the training images of each kind that is never learnt from."""

BATCH = 16
RATE, LOWEST, WARMUP = 2e-3, 2e-5, 200
"""Rate of learning at first and at the end, and the steps in which it rises."""

BACKGROUND = 0.12
"""Share of the first clicks that are not on an object."""

MOST_CLICKS = 8
STAY = 0.72
"""Share of the prompts that get another click."""

WIDE, STAY_WIDE = 3.0, 0.3
"""Crops that are so many times as wide as the object get another click less often: the tool goes on
in narrow ones."""

KEEP = 0.998
"""Of the running mean of the weights, in each step."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with its objects.

    Parameters
    ----------
    image
        float32 (C, Y, X).
    ids
        (Y, X), 0 is background.
    boxes
        Id and window of each object.
    unknown
        Mask of pixels that no click is made on, or None.
    """

    image: Array
    ids: Array
    boxes: list[tuple[int, tuple[slice, slice]]]
    unknown: Array | None = None


@dataclass(eq=False)
class Exercise:
    """A prompt in a crop, and its object.

    Parameters
    ----------
    crop, edges
        See `maps_of`.
    truth
        bool (SIDE, SIDE).
    beyond
        Pixels of the object outside the crop, in pixels of the crop.
    factor
        Side of the crop, of the extent of the object.
    inside, outside, box, previous
        See `maps_of`.
    """

    crop: Crop
    edges: Array
    truth: Array
    beyond: float
    factor: float
    inside: list[tuple[float, float]]
    outside: list[tuple[float, float]] = field(default_factory=list)
    box: Array | None = None
    previous: Array | None = None

    @property
    def clicks(self) -> int:
        """Number of clicks so far."""
        return len(self.inside) + len(self.outside)

    def maps(self) -> Array:
        """Return the inputs of the network."""
        inside, outside = (np.array(p, float).reshape(-1, 2) for p in (self.inside, self.outside))
        return maps_of(self.crop, inside, outside, self.box, self.previous, self.edges)


def scenes() -> list[tuple[Array, Array]]:
    """Return synthetic micrographs of single specimens with their objects."""
    found = []
    for seed in range(SCENES):
        for draw in (samples.membranes, samples.cells, samples.nuclei):
            sample = draw((320, 320), seed=seed)
            image = sample.image
            if "C" in sample.axes and sample.axes.index("C") == 0:
                image = np.moveaxis(image, 0, -1)
            found.append((image, sample.objects))
    return found


def pictures(data: Path, kind: str) -> tuple[list[Picture], list[Picture]]:
    """Return the images of a kind to learn from, and those held out."""
    if kind == "drawn":
        every = kinds(lambda *_: True)
        pairs = drawn(DRAWN_EACH * len(every), every, 0) + scenes()
    else:
        pairs = READERS[kind](data).learnt
    found = []
    for image, ids in pairs:
        unknown = None
        if kind == "axons":
            unknown = ids == 1
            ids = label(ids == 2, connectivity=1).astype(np.int32)
        planes = np.atleast_3d(image)
        planes = np.ascontiguousarray(np.moveaxis(planes, -1, 0), np.float32)
        boxes = [
            (number, box)
            for number, box in enumerate(ndimage.find_objects(ids), 1)
            if box and np.count_nonzero(ids[box] == number) >= 20
        ]
        if boxes:
            found.append(Picture(planes, ids, boxes, unknown))
    order = np.random.default_rng(1).permutation(len(found))
    n_held = max(round(HELD_OUT * len(found)), 1)
    held = [found[k] for k in order[:n_held]]
    return [found[k] for k in order[n_held:]], held


def exercise(
    picture: Picture, rng: np.random.Generator, *, background: bool, plain: bool = False
) -> Exercise | None:
    """Return a new prompt of a random object, or of the background; None if none can be made.

    Parameters
    ----------
    plain
        Without changes of the image, around the middle of the object, as it is held out.
    """
    number, box = picture.boxes[rng.integers(len(picture.boxes))]
    extent = max(s.stop - s.start for s in box)
    shape = picture.ids.shape
    whole = picture.ids[box] == number
    if plain:
        factor = 2.0
    elif rng.random() < 0.12:
        factor = np.exp(rng.uniform(np.log(0.35), np.log(1.1)))
    else:
        factor = np.exp(rng.uniform(np.log(1.15), np.log(6.0)))
    side = max(factor * extent, 14)
    if background:
        free = picture.ids == 0
        if picture.unknown is not None:
            free &= ~picture.unknown
        for _ in range(20):
            at = rng.integers(0, shape[0]), rng.integers(0, shape[1])
            near = tuple(slice(max(a - 2, 0), a + 3) for a in at)
            if free[near].all():
                break
        else:
            return None
        middle = first = float(at[0]), float(at[1])
    else:
        deep = edt(whole, black_border=True)
        wanted = np.flatnonzero(deep >= rng.choice([0.25, 0.6, 0.999]) * deep.max())
        y, x = np.unravel_index(wanted[rng.integers(len(wanted))], whole.shape)
        first = float(y + box[0].start), float(x + box[1].start)
        if plain or (factor > 1.2 and rng.random() < 0.45):
            shift = 0 if plain else rng.normal(0, 0.06, 2) * side
            centre = np.array([(s.start + s.stop - 1) / 2 for s in box]) + shift
            middle = (float(centre[0]), float(centre[1]))
        else:
            middle = first
    window = CropWindow.around(middle, side)
    part = window.clipped(shape)
    if any(s.stop - s.start < 4 for s in part):
        return None
    step = window.step
    image = picture.image[(slice(None), *part)][:, ::step, ::step]
    if len(image) == 3 and not plain and rng.random() < 0.35:
        image = np.tensordot(rng.dirichlet([1, 1, 1]).astype(np.float32), image, 1)[None]
    crop = scaled_crop(image, window, shape)
    if background:
        truth = np.zeros((SIDE, SIDE), bool)
    else:
        whole_part = (picture.ids[part][::step, ::step] == number).astype(np.float32)
        truth = to_crop(whole_part, window, shape) > 0.5
    total = np.count_nonzero(whole) * (SIDE / side) ** 2 * (not background)
    at = window.crop_points([first])[0]
    pixels, valid = crop.pixels, crop.valid
    if not plain:
        pixels = varied(pixels, valid, rng)
        turn, flip = rng.integers(4), rng.random() < 0.5
        pixels, valid, truth = (turned(a, turn, flip=flip) for a in (pixels, valid, truth))
        at = turned_point(at, turn, flip=flip)
        crop = Crop(window, pixels, valid)
    row, column = round(at[0]), round(at[1])
    if not background and not (0 <= row < SIDE and 0 <= column < SIDE and truth[row, column]):
        return None
    boxed = None
    if not background and not plain and factor > 1.2 and rng.random() < 0.15:
        rows, columns = (np.flatnonzero(truth.any(axis)) for axis in (1, 0))
        ends = np.array([[rows[0], columns[0]], [rows[-1], columns[-1]]], float)
        boxed = ends + rng.normal(0, 0.04, (2, 2)) * (ends[1] - ends[0])
    clicks = [(float(at[0]), float(at[1]))]
    beyond = max(total - np.count_nonzero(truth), 0.0)
    made = Exercise(crop, edges_of(crop), truth, beyond, factor, clicks, box=boxed)
    if boxed is not None and rng.random() < 0.6:
        made.inside = []
    return made


def varied(pixels: Array, valid: Array, rng: np.random.Generator) -> Array:
    """Return scaled pixels (3, SIDE, SIDE) with other contrast, light, blur and noise."""
    within = valid > 0.5
    same = np.array_equal(pixels[0], pixels[2])
    x = pixels[:1] if same else pixels[rng.permutation(3)]
    if rng.random() < 0.4:
        x = -x
    if rng.random() < 0.35:
        low, high = float(x.min()), float(x.max())
        x = ((x - low) / max(high - low, 1e-6)) ** np.float32(np.exp(rng.normal(0, 0.45)))
    if rng.random() < 0.25:
        x = ndimage.gaussian_filter(x, (0, *(rng.uniform(0.4, 1.5),) * 2))
    spread = max(float(x[:, within].std()), 1e-6)
    if rng.random() < 0.3:
        x = x + rng.normal(0, rng.uniform(0.03, 0.4) * spread, x.shape).astype(np.float32)
    if rng.random() < 0.3:
        ramp = np.linspace(-1, 1, SIDE, dtype=np.float32) * np.float32(rng.normal(0, 0.6) * spread)
        x = x + (ramp if rng.random() < 0.5 else ramp[:, None])
    mean = x[:, within].mean(1)
    spreads = x[:, within].std(1)
    spreads = np.maximum(spreads, max(0.3 * float(spreads.max()), 1e-12))
    x = (x - mean[:, None, None]) / spreads[:, None, None] * within
    return np.clip(np.repeat(x, 3, 0) if same else x, -6, 6).astype(np.float32)


def turned(array: Array, quarters: int, *, flip: bool) -> Array:
    """Return an array turned by quarters, and mirrored."""
    array = np.rot90(array, quarters, (-2, -1))
    return np.ascontiguousarray(array[..., ::-1] if flip else array)


def turned_point(at: Array, quarters: int, *, flip: bool) -> tuple[float, float]:
    """Return a point of a crop that is turned by quarters, and mirrored."""
    y, x = float(at[0]), float(at[1])
    for _ in range(quarters):
        y, x = SIDE - 1 - x, y
    return y, SIDE - 1 - x if flip else x


def next_click(
    found: Array, truth: Array, rng: np.random.Generator | None
) -> tuple[bool, tuple[float, float]] | None:
    """Return whether a click in the largest error is inside, and its place; None without errors.

    Parameters
    ----------
    rng
        For a click anywhere near the middle of the error, instead of its very middle.
    """
    best = None
    for inside, error in ((True, truth & ~found), (False, found & ~truth)):
        if not error.any():
            continue
        deep = edt(error, black_border=False)
        if best is None or deep.max() > best[1].max():
            best = inside, deep
    if best is None:
        return None
    inside, deep = best
    least = deep.max() * (0.6 if rng is not None else 1.0)
    wanted = np.flatnonzero(deep >= least)
    place = wanted[rng.integers(len(wanted)) if rng is not None else 0]
    y, x = np.unravel_index(place, deep.shape)
    return inside, (float(y), float(x))


def overlaps(probability: Array, batch: list[Exercise]) -> Array:
    """Return the intersection over union of each prediction with the whole object."""
    values = []
    for one, made in zip(probability > 0.5, batch, strict=True):
        both = np.count_nonzero(one & made.truth)
        either = np.count_nonzero(one | made.truth) + made.beyond
        values.append(both / max(either, 1))
    return np.array(values, np.float32)


class Source:
    """New prompts of all kinds, by their shares."""

    def __init__(self, known: dict[str, list[Picture]], rng: np.random.Generator) -> None:
        self._known, self._rng = known, rng
        self._names = list(known)
        shares = np.array([SHARES[name] for name in known])
        self._shares = shares / shares.sum()

    def draw(self) -> Exercise:
        """Return a new prompt."""
        rng = self._rng
        while True:
            some = self._known[rng.choice(self._names, p=self._shares)]
            picture = some[rng.integers(len(some))]
            made = exercise(picture, rng, background=rng.random() < BACKGROUND)
            if made is not None:
                return made


def loss_of(logits: torch.Tensor, score: torch.Tensor, batch: list[Exercise]) -> Any:
    """Return the loss, and the probabilities and overlaps as arrays."""
    truth = torch.from_numpy(np.stack([one.truth for one in batch])).float()
    real = torch.from_numpy(np.array([float(one.truth.any()) for one in batch], np.float32))
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    p = torch.sigmoid(logits)
    # Uncertain pixels weigh more, all of one object the same.
    weight = (p - truth).abs().detach() + 0.1
    entropy = (each * weight).sum((1, 2)) / weight.sum((1, 2))
    both, sum_ = (p * truth).sum((1, 2)), (p + truth).sum((1, 2))
    dice = 1 - (2 * both + 1) / (sum_ + 1)
    probability = p.detach().numpy()
    reached = overlaps(probability, batch)
    of_score = F.binary_cross_entropy_with_logits(score, torch.from_numpy(reached))
    of_mask = ((0.5 * entropy + dice) * real).sum() / real.sum().clamp(min=1)
    return of_mask + 0.3 * of_score, probability, reached


def judged(network: ClickNetwork, held: dict[str, list[Picture]], each: int = 24) -> dict[str, Any]:
    """Return the mean overlap after one, two, three and five clicks in held-out images."""
    network.eval()
    found = {}
    for name, some in held.items():
        rng = np.random.default_rng(5)
        batch = []
        while len(batch) < each:
            picture = some[rng.integers(len(some))]
            made = exercise(picture, rng, background=False, plain=True)
            if made is not None:
                batch.append(made)
        values, wrong = [], 0.0
        for click in range(1, 6):
            maps = torch.from_numpy(np.stack([one.maps() for one in batch]))
            with torch.inference_mode():
                logits, score = network(maps.contiguous(memory_format=torch.channels_last))
            p = torch.sigmoid(logits).numpy()
            reached = overlaps(p, batch)
            values.append(float(reached.mean()))
            wrong += float(np.abs(torch.sigmoid(score).numpy() - reached).mean()) / 5
            if click < 5:
                answer(p, batch, None)
        found[name] = [round(values[k], 3) for k in (0, 1, 2, 4)] + [round(wrong, 3)]
    network.train()
    return found


def answer(probability: Array, batch: list[Exercise], rng: np.random.Generator | None) -> None:
    """Add a click to each prompt where its prediction errs most.

    With `rng` the prediction is sometimes forgotten, blurred as by another scale of the crop, or
    handed on without a click.
    """
    for p, one in zip(probability, batch, strict=True):
        lot = rng.random() if rng is not None else 1.0
        click = next_click(p > 0.5, one.truth, rng) if lot > 0.1 else None
        if click:
            (one.inside if click[0] else one.outside).append(click[1])
        one.previous = p
        if rng is not None and 0.1 < lot < 0.25:
            one.previous = None
        elif rng is not None and lot > 0.75:
            one.previous = ndimage.gaussian_filter(p, rng.uniform(0.5, 2.5))


def trained(asked: argparse.Namespace, known: dict[str, Any], held: dict[str, Any]) -> Any:
    """Return the trained network, and the account of its training."""
    torch.manual_seed(asked.seed)
    rng = np.random.default_rng(asked.seed)
    network = ClickNetwork(norm=True).to(memory_format=torch.channels_last).train()
    source = Source(known, rng)
    if asked.start:
        some = np.stack([source.draw().maps() for _ in range(8 * BATCH)])
        continue_from(network, asked.start, torch.from_numpy(some))
    mean = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(KEEP), use_buffers=True
    )
    best = torch.optim.AdamW(network.parameters(), asked.rate, weight_decay=1e-2)
    batch = [source.draw() for _ in range(BATCH)]
    began, losses, log = time.process_time(), [], []
    for step in itertools.count():
        spent = (time.process_time() - began) / 60
        done = max(step / asked.steps, spent / asked.minutes)
        if done >= 1:
            break
        rate = asked.last + (asked.rate - asked.last) * 0.5 * (1 + np.cos(np.pi * done))
        for group in best.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / WARMUP)
        maps = torch.from_numpy(np.stack([one.maps() for one in batch]))
        with torch.autocast("cpu", torch.bfloat16):
            logits, score = network(maps.contiguous(memory_format=torch.channels_last))
        loss, probability, reached = loss_of(logits.float(), score.float(), batch)
        best.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        best.step()
        mean.update_parameters(network)
        losses.append((float(loss.detach()), float(reached.mean())))
        answer(probability, batch, rng)
        for k, one in enumerate(batch):
            finished = reached[k] > 0.96 or one.clicks >= MOST_CLICKS or not one.truth.any()
            stay = STAY if one.factor < WIDE else STAY_WIDE
            if finished or rng.random() > stay:
                batch[k] = source.draw()
        if (step + 1) % 100 == 0:
            latest = np.mean(losses[-100:], 0)
            print(
                f"{step + 1} {spent:.1f} min loss {latest[0]:.4f} IoU {latest[1]:.3f}", flush=True
            )
        if (step + 1) % asked.look == 0:
            log.append(
                {"step": step + 1, "minutes": round(spent, 1), "held": judged(mean.module, held)}
            )
            print(json.dumps(log[-1]["held"]), flush=True)
            write(mean.module, asked.out)
    account = {
        "steps": step,
        "minutes": round((time.process_time() - began) / 60, 1),
        "seed": asked.seed,
        "learnt": {name: len(some) for name, some in known.items()},
        "log": log,
    }
    return mean.module, account


def continue_from(network: ClickNetwork, path: Path, maps: torch.Tensor) -> None:
    """Give a network the function of written weights, and the statistics of the activations."""
    with np.load(path, allow_pickle=False) as arrays:
        known = {name: torch.tensor(arrays[name]).float() for name in arrays.files}
    own = network.state_dict()
    network.load_state_dict(own | {k: v for k, v in known.items() if k in own})

    def restate(module: ConvNorm, entering: Any) -> None:
        conv, norm = module[0], module[1]
        leaving = conv(entering[0])
        norm.running_mean = leaving.mean((0, 2, 3))
        norm.running_var = leaving.var((0, 2, 3))
        norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(norm.running_mean + known[f"{names[module]}.0.bias"])

    names = {m: name for name, m in network.named_modules() if isinstance(m, ConvNorm)}
    hooks = [module.register_forward_pre_hook(restate) for module in names]
    network.eval()
    with torch.no_grad():
        network(maps)
    network.train()
    for hook in hooks:
        hook.remove()


def write(network: ClickNetwork, path: Path) -> None:
    """Write the weights in half precision, without normalisations."""
    copy = ClickNetwork(norm=True)
    copy.load_state_dict(network.state_dict())
    bare = without_norms(copy.eval())
    data = archived({k: v.numpy().astype(np.float16) for k, v in bare.state_dict().items()})
    path.write_bytes(data)
    print(f"{path}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}", flush=True)


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("--out", type=Path, default=Path("click_network.npz"))
    asking.add_argument("--without", nargs="*", default=[], choices=list(SHARES), metavar="KIND")
    asking.add_argument("--steps", type=int, default=8000)
    asking.add_argument("--minutes", type=float, default=1e9, help="of processor time")
    asking.add_argument("--look", type=int, default=1000, help="steps between two tests")
    asking.add_argument("--seed", type=int, default=0)
    asking.add_argument("--rate", type=float, default=RATE, help="of learning, at first")
    asking.add_argument("--last", type=float, default=LOWEST, help="rate of learning at the end")
    asking.add_argument("--start", type=Path, help="weights to continue from")
    asking.add_argument("--json", type=Path, help="where the account is written")
    asked = asking.parse_args()
    torch.set_num_threads(1)
    known, held = {}, {}
    for kind in SHARES:
        learn, aside = pictures(asked.data, kind)
        held[kind] = aside
        if kind not in asked.without:
            known[kind] = learn
        print(kind, len(learn), "images, held out", len(aside), flush=True)
    network, account = trained(asked, known, held)
    account["held"] = judged(network, held)
    write(network, asked.out)
    print(json.dumps(account["held"]), account["steps"], account["minutes"])
    if asked.json:
        asked.json.write_text(json.dumps(account | {"without": asked.without}, indent=1))


if __name__ == "__main__":
    main()
