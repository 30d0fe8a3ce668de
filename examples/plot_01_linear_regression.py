r"""
1. Linear regression: in one step, by gradient descent, by chance
=================================================================

The light on a picture often falls off from one side to the other. The simplest model of that is a
straight line over the position :math:`x` of a pixel,

.. math:: \hat y = w_1 x + w_0, \qquad
          E(w_1, w_0) = \sum_n ({}^n\hat y - {}^n y)^2 .

The error is smallest where its derivatives vanish, which has a closed solution,

.. math:: \hat w = \Big(\sum_n {}^n x \, {}^n x^T\Big)^{-1} \sum_n {}^n x \, {}^n y ,

or can be walked to: down the slope of all pixels at once (gradient descent) or of a few drawn by
chance (stochastic gradient descent),

.. math:: \Delta w = -\lambda \frac{dE}{dw} .

For a model with millions of weights only the last is left. Here all three can be had, and agree.

**In the window:** File > Open Sample > UNet Segmentation > Coins, then Plugins > UNet
Segmentation > Background with *Terms* ``1,y`` and *Ignore pixels* none. *Run* fits the line in
closed form; the message and the surface layer show it.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data

import napari_unetseg as seg
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.nn.networks.perceptron import PixelNetwork

coins = data.coins()
strip = coins[:, 96:112].astype(np.float32)
height, width = strip.shape

# %%
# In closed form
# --------------
# The Background dock's own fit. Positions count in pixels from the first row.

background = seg.fit_background(strip, terms="1,y", robust="none")
w0, w1 = background.surfaces[0].polynomial.pixel_coefficients()
print(f"closed form: brightness = {w0:.2f} {w1:+.4f} * row")

# The textbook's backslash, on a matrix of one line a pixel, says the same.
rows = np.repeat(np.arange(height), width)
matrix = np.column_stack([np.ones(rows.size), rows])
book, *_ = np.linalg.lstsq(matrix, strip.ravel().astype(float), rcond=None)
assert np.allclose((w0, w1), book, rtol=1e-6)

# %%
# The coins themselves pull this line up. Told to ignore what is brighter than the background, the
# dock fits again and again to what lies below, and follows the light alone.

ignoring = seg.fit_background(strip, terms="1,y", robust="bright")
r0, r1 = ignoring.surfaces[0].polynomial.pixel_coefficients()
print(f"ignoring bright objects: brightness = {r0:.2f} {r1:+.4f} * row")
ground = strip.ravel() < 100
off, off_ignoring = (
    np.mean(strip.ravel()[ground] - start - slope * rows[ground])
    for start, slope in ((w0, w1), (r0, r1))
)
print(
    f"the ground lies {off:+.0f} grey levels off the first line, {off_ignoring:+.0f} off this one"
)
assert abs(off_ignoring) < abs(off) / 4

# %%
# By gradient descent
# -------------------
# The same line as a network: a single dense layer with one input, the row, and one output. The
# position terms of the package run from -1 to 1 across the image, so that both weights matter
# about equally and one step size :math:`\lambda` suits both.

along = position_terms("polynomial", 1, origin=(0, 0), block=strip.shape, shape=strip.shape)[0]
x = torch.from_numpy(along.reshape(-1, 1).copy())
y = torch.from_numpy(strip.reshape(-1, 1))


def in_pixels(layer):
    """Return the layer's bias and weight, for rows counted in pixels."""
    weight, bias = layer.weight.item(), layer.bias.item()
    return np.array([bias + weight * (1 / height - 1), 2 * weight / height])


def descend(rate, steps, batch=None, seed=0):
    """Return the weights at every step; of all pixels, or of a few drawn by chance."""
    network = PixelNetwork(1, 1)
    optimiser = torch.optim.SGD(network.parameters(), lr=rate)
    draw = torch.Generator().manual_seed(seed)
    path = [in_pixels(network.dense[0])]
    for step in range(steps):
        if batch is not None:
            chosen = torch.randint(len(x), (batch,), generator=draw)
            # A step that shrinks averages the chance out; one that does not never settles.
            optimiser.param_groups[0]["lr"] = rate / (1 + step / 50)
        else:
            chosen = slice(None)
        error = network(x[chosen]) - y[chosen]
        optimiser.zero_grad()
        (error**2).mean().backward()
        optimiser.step()
        path.append(in_pixels(network.dense[0]))
    return np.array(path)


def distance(path):
    """Return how far the line is from the closed form at its two ends, in grey levels."""
    off = path - (w0, w1)
    return np.hypot(off[:, 0], off[:, 0] + off[:, 1] * (height - 1))


slow, fast = descend(0.05, 400), descend(0.4, 400)
chance = descend(0.2, 4000, batch=16)
for name, path in (("gradient descent", fast), ("stochastic", chance)):
    print(
        f"{name}: brightness = {path[-1, 0]:.2f} {path[-1, 1]:+.4f} * row, "
        f"{distance(path)[-1]:.3f} grey levels from the closed form"
    )
assert distance(fast)[-1] < 0.01
assert distance(slow)[-1] < 0.01
assert distance(chance)[-1] < 1.0

# %%
# Too large a step climbs out instead: beyond :math:`2/\lambda_{max}`, where
# :math:`\lambda_{max}` is the largest curvature of the error.

curvature = 2 * max(1.0, float((along**2).mean()))
wild = distance(descend(1.02 * 2 / curvature, 100))
print(f"largest step that can work: {2 / curvature:.2f}; 2 % more ends {wild[-1]:.0f} levels away")
assert wild[-1] > wild[0]

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(rows, strip.ravel(), ".", ms=2, color="0.7", label="pixels")
left.plot([0, height], [w0, w0 + w1 * height], "C3", lw=3, label="closed form")
left.plot([0, height], chance[-1, 0] + chance[-1, 1] * np.array([0, height]), "k--", label="SGD")
left.plot([0, height], [r0, r0 + r1 * height], "C0", lw=2, label="ignoring bright")
left.set(xlabel="row", ylabel="brightness", title="A line through the brightness of coins")
left.legend(loc="upper right", fontsize=8)
for path, label in (
    (slow, "gradient descent, step 0.05"),
    (fast, "gradient descent, step 0.4"),
    (chance, "stochastic, 16 pixels a step"),
):
    right.loglog(np.arange(1, len(path) + 1), distance(path), label=label)
right.loglog(np.arange(1, len(wild) + 1), wild, "C3:", label="too large a step")
right.set(xlabel="step", ylabel="grey levels from the closed form", ylim=(1e-3, 1e4))
right.set_title("All roads lead to the same line")
right.legend(fontsize=8)
