"""Train and evaluate Cellpose 3 on real images, for the same processor seconds as our networks.

    python -m venv VENV
    VENV/bin/pip install . "cellpose<4" --extra-index-url https://download.pytorch.org/whl/cpu
    VENV/bin/python benchmarks/cellpose_on_real_images.py DATA
        [--sets nuclei ...] [--seconds 1200] [--light] [--out FILE.json] [--keep FOLDER]

Runs in its own environment. DATA, sets, scores and seconds are those of
`objects_on_real_images.py`, and --out may be the same file. The network is Cellpose's own with
random weights, its defaults and its own training, which ends when the seconds are spent; the flows
of the training images are computed before. Images are scaled by Cellpose, and resized by the mean
diameter of the training objects.

In minutes of one core the default takes a few steps. --light is a setting for that: batches of 4
patches of 128 pixels instead of 8 of 224.
"""

import contextlib
import time
from typing import Any
from unittest import mock

import numpy as np
from cellpose import models, train, transforms
from object_sets import OF_OBJECTS, Array, ObjectSet, keep, parser, scores, table

STEPS = 100_000
"""More than the seconds suffice for."""


class Spent(Exception):
    """The processor seconds are spent."""


def trained(chosen: ObjectSet, seconds: float, seed: int, *, light: bool) -> tuple[Any, int]:
    """Train a network for processor seconds; return it and the number of steps."""
    import torch

    torch.manual_seed(seed)
    model = models.CellposeModel(gpu=False, pretrained_model=False)
    batch, side = (4, 128) if light else (8, 224)
    began, steps, augment = 0.0, 0, transforms.random_rotate_and_resize

    def counted(*given: Any, **options: Any) -> Any:
        nonlocal began, steps
        began = began or time.process_time()
        if time.process_time() - began > seconds:
            raise Spent
        steps += 1
        return augment(*given, **options)

    ended = contextlib.suppress(Spent)
    with mock.patch.object(transforms, "random_rotate_and_resize", counted), ended:
        train.train_seg(
            model.net,
            train_data=[image for image, _ in chosen.learnt],
            train_labels=[ids for _, ids in chosen.learnt],
            channels=[0, 0],
            batch_size=batch,
            bsize=side,
            n_epochs=STEPS,
            nimg_per_epoch=batch,
            min_train_masks=1,
            save_every=STEPS,
        )
    model.net.eval()
    model.diam_labels = model.net.diam_labels.item()
    return model, steps


def objects(model: Any, image: Array, min_size: int) -> Array:
    """Predict the objects of an image."""
    ids, *_ = model.eval(image, channels=[0, 0], diameter=model.diam_labels, min_size=min_size)
    return np.asarray(ids, np.int32)


def main() -> None:
    asking = parser(__doc__.splitlines()[0])
    asking.add_argument("--light", action="store_true", help="smaller patches, fewer in a batch")
    asked = asking.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for which in asked.sets:
        chosen = OF_OBJECTS[which](asked.data)
        seconds = asked.seconds or chosen.seconds
        model, steps = trained(chosen, seconds, asked.seed, light=asked.light)
        said = [objects(model, image, chosen.smallest) for image, _ in chosen.tested]
        name = f"{which} | Cellpose" + ", light" * asked.light
        found[name] = scores(said, chosen.tested) | {"trained_s": seconds, "steps": steps}
        keep(asked, name, found[name], said)
    print(table(found))


if __name__ == "__main__":
    main()
