r"""
2. Background and threshold: the first segmentation is a dense layer
====================================================================

Uneven light is fitted by least squares on where a pixel is, with four terms,

.. math:: \hat z(x, y) = w_1 + w_2 x + w_3 y + w_4 y^2 ,

subtracted, and what is left is compared with a threshold :math:`t`. Written in one line,

.. math:: z - \hat z(x, y) > t \quad\Longleftrightarrow\quad
          1 \cdot z - w_2 x - w_3 y - w_4 y^2 - (w_1 + t) > 0 ,

this is a weighted sum of the pixel's brightness and its position, and a step: a single dense
layer with *position encoding*. Its weights are written down here, and a trained network's place is
taken by them.

**In the window:** File > Open Sample > UNet Segmentation > Coins. In *Background* set *Terms* to
``lecture`` (1, x, y, y²) and *Ignore pixels* to none, *Run*. In *Threshold* keep *Otsu*, *Run*.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.filters import threshold_otsu

import napari_unetseg as seg
from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.nn.inference.pixel_segmenter import from_linear_unit
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.threshold import threshold

coins = seg.Image(data.coins(), "YX")
z = coins.asarray().astype(float)

# %%
# The fit
# -------
# Once as the lecture writes it, with one row of a matrix for each pixel, and once as the dock does
# it, from sums of powers, without that matrix.

y, x = np.mgrid[: z.shape[0], : z.shape[1]].astype(float)
matrix = np.column_stack([np.ones(z.size), x.ravel(), y.ravel(), y.ravel() ** 2])
book, *_ = np.linalg.lstsq(matrix, z.ravel(), rcond=None)

lecture = {"terms": "lecture", "robust": "none"}
background = seg.fit_background(coins, **lecture)
surface, _ = background.polynomial()
fitted = surface.pixel_coefficients()
for name, ours, theirs in zip(surface.terms.names, fitted, book, strict=True):
    print(f"weight of {name:>3}: {ours:+.6f} (by the matrix: {theirs:+.6f})")
assert np.allclose(fitted, book, rtol=1e-6)

# %%
# Subtract, threshold
# -------------------

flat = seg.flatten(coins, background)
found = threshold(flat)
(level,) = found.values[0]
print(f"Otsu's threshold of what is left: {level:.2f} grey levels above the surface")
assert abs(level - threshold_otsu(flat.asarray())) < 0.5

# %%
# The same as one dense layer
# ---------------------------
# The unit has one weight for the brightness, one for each position term, and a bias.

unit = LinearUnit.from_background(surface, level)
for name, weight in unit.weights().items():
    print(f"weight of the unit for {name:>9}: {weight:+.6f}")
expected = {"intensity": 1.0, "bias": -(fitted[0] + level)}
expected |= dict(zip(surface.terms.names[1:], -fitted[1:], strict=True))
assert all(np.isclose(unit.weights()[name], value) for name, value in expected.items())

# %%
# Those weights fit into the logistic model of the *Train* dock, whose other weights (of filters)
# are zero. What it predicts, tile by tile as any network, is the mask of the two steps.

normalisation = fit_normalisation(coins, NormalisationSpec())
segmenter = from_linear_unit(unit, normalisation)
predicted = predict_classes_image(coins, segmenter, normalisation).asarray()
unlike = int((predicted != found.labels).sum())
print(f"pixels that the network sees otherwise than background and threshold: {unlike}")
assert unlike <= 3, "a few pixels may lie within rounding of the level"

# %%
# Why subtract at all
# -------------------
# Drawn nuclei, where the truth is known, with sixteen times the stray light.

sample = seg.samples.nuclei((256, 256), seed=4)
stray = 15 * (sample.background - sample.background.min())
uneven = sample.image + stray
raw = seg.threshold(uneven) > 0
even = seg.threshold(seg.flatten(uneven, **lecture)) > 0
without, with_it = (seg.evaluate(made, sample.mask).dice for made in (raw, even))
print(f"Dice of Otsu's mask: {without:.3f} as it is, {with_it:.3f} with the background subtracted")
assert with_it > without + 0.1

# %%

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
shown = [
    (z, "coins", "gray"),
    (surface.evaluate(), "1, x, y, y² fitted", "gray"),
    (found.labels > 0, "less the surface, above Otsu", "gray"),
    (uneven, "nuclei under uneven light", "gray"),
    (raw, f"Otsu alone: Dice {without:.2f}", "gray"),
    (even, f"background, then Otsu: Dice {with_it:.2f}", "gray"),
]
for axis, (picture, title, colours) in zip(axes.flat, shown, strict=True):
    axis.imshow(picture, cmap=colours)
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()

# %%
# The layer, drawn as the network it is.

figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
weights = unit.weights()
for row, (name, weight) in enumerate(reversed(weights.items())):
    axis.annotate("", (2, 2), (0.9, row), arrowprops={"arrowstyle": "-", "lw": 1.5, "color": "C0"})
    axis.text(0, row, {"bias": "1"}.get(name, name), ha="right", va="center")
    axis.text(0.85, row, f"{weight:+.4g}", color="C0", ha="right", va="center")
axis.text(2.15, 2, "Σ > 0 ?", va="center", bbox={"boxstyle": "circle", "fc": "w", "ec": "C0"})
axis.text(3.1, 2, "object or\nbackground", va="center")
axis.set(xlim=(-0.6, 4), ylim=(-0.6, 4.6), title="Background and threshold as a dense layer")
axis.set_axis_off()
