r"""
12. A UNet on neurons in phase contrast
=======================================

In phase contrast cells share their grey levels with the field around them: a halo makes them dark
and bright at once, and no threshold finds them. A UNet sees detail and surroundings together. Each
level halves the image and doubles the channels; on the way back up the fine level's channels come
along,

.. math:: d^l = f\big(W * [\, e^l ,\; \mathrm{up}(d^{l+1}) \,]\big) ,

with :math:`e^l` what the way down knew at level :math:`l` and :math:`d^l` what the way up makes of
it. From annotation to labels it takes two minutes of one processor core.

**In the window:** File > Open Sample > UNet Segmentation > Neurons. *Train* with *Label type* mask,
*Model* unet and 1.5 *Minutes*; watch the curve and the field. Then *Predict*, *Correct* what is
wrong, and *Train on*.

.. note:: With ``NAPARI_UNETSEG_NEURONS`` set to a folder of micrographs (``images``) and masks
   (``masks``) of the same names, those are used. Without it neurons are drawn.
"""

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import napari_unetseg as seg
from napari_unetseg.core.objects.masks import label

QUICK = bool(os.environ.get("NAPARI_UNETSEG_QUICK"))
torch.set_num_threads(1)

# %%
# Images and what a person drew on them
# -------------------------------------
# Four images to learn from, one to be judged by.

folder = os.environ.get("NAPARI_UNETSEG_NEURONS")
if folder:
    files = sorted(Path(folder, "images").iterdir())[:5]
    masks = [next(Path(folder, "masks").glob(f"{file.stem}.*")) for file in files]
    pairs = [
        (seg.read(file).grey(), seg.read(mask).asarray() > 0)
        for file, mask in zip(files, masks, strict=True)
    ]
    print(f"micrographs of {folder}")
else:
    hard = {"contrast": 0.5, "debris": 4, "noise": 2}
    drawn = [seg.samples.neurons((384, 384), seed=seed, **hard) for seed in range(5)]
    pairs = [(sample.as_image(), sample.mask) for sample in drawn]
    print("drawn neurons, for NAPARI_UNETSEG_NEURONS names no folder of micrographs")
*learnt, (unseen, truth) = pairs

# %%
# What a threshold makes of it
# ----------------------------
# The background is fitted and subtracted first, and both dark and bright are tried.

flat = seg.flatten(unseen)
by_threshold = max(
    (seg.threshold(flat, objects=which, sigma=1).data > 0 for which in ("bright", "dark")),
    key=lambda mask: seg.evaluate(mask, truth).dice,
)
threshold_score = seg.evaluate(by_threshold, truth).dice
print(f"background and threshold: Dice {threshold_score:.3f}")

# %%
# Training
# --------

began = time.process_time()
# So many steps are about a minute and a half of one core; within minutes on the clock, as the dock
# counts, a busy machine would learn less.
model = seg.train(
    [image for image, _ in learnt],
    [mask for _, mask in learnt],
    "unet",
    labels_are="mask",
    name="neurons",
    until="epochs",
    epochs=3 if QUICK else 6,
    steps=50 if QUICK else 100,
    averaging=0.9 if QUICK else 0.99,
)
found = seg.predict(unseen, model).data == 1
took = time.process_time() - began
score = seg.evaluate(found, truth).dice
print(f"UNet: {model.n_parameters:,} weights, {took:.0f} s of processor time in all")
print(f"UNet: Dice {score:.3f} on the image it never saw")
assert score > threshold_score + 0.1

# %%
# From a mask to labels: every connected piece is one object, specks left out.

labels, n_objects = label(found, min_size=40)
print(f"{n_objects} objects")
assert 0 < n_objects < 200

# %%

figure, axes = plt.subplots(2, 3, figsize=(10, 7), layout="constrained")
grey = np.asarray(unseen.asarray())


def outlined(axis, mask, title, colour="yellow"):
    """Show the unseen image with the outline of a mask."""
    axis.imshow(grey, cmap="gray")
    axis.contour(mask, [0.5], colors=colour, linewidths=0.8)
    axis.set_title(title, fontsize=10)


outlined(axes[0, 0], truth, "what a person drew" if folder else "what was drawn", "C2")
outlined(axes[0, 1], by_threshold, f"threshold: Dice {threshold_score:.2f}", "C1")
outlined(axes[0, 2], found, f"UNet: Dice {score:.2f}")
axes[1, 0].imshow(learnt[0][0].asarray(), cmap="gray")
axes[1, 0].contour(learnt[0][1], [0.5], colors="C2", linewidths=0.8)
axes[1, 0].set_title("one of four images learnt from", fontsize=10)
axes[1, 1].imshow(grey, cmap="gray")
axes[1, 1].imshow(np.ma.masked_equal(labels, 0), cmap="prism", alpha=0.6, interpolation="nearest")
axes[1, 1].set_title("labels", fontsize=10)
for axis in axes.flat[:5]:
    axis.set_axis_off()
curve = axes[1, 2]
curve.plot([step["loss"] for step in model.history], lw=0.8, label="loss")
judged = [(step["step"], step["dice"]) for step in model.history if step["dice"] is not None]
curve.plot(*zip(*judged, strict=True), "o-", ms=3, label="Dice held out")
curve.set(xlabel="step", ylim=(0, 1.6), title="training")
curve.legend(fontsize=8)
