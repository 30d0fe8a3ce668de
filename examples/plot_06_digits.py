r"""
6. Digits: a network of two dense layers
========================================

The classic: 64 grey levels of a handwritten digit go in, evidence for ten classes comes out, and
between them lies one hidden layer,

.. math:: \hat y = \mathrm{softmax}\big(W^2 \max(0, W^1 x + b^1) + b^2\big) .

The digits are scikit-learn's: 1797 of the NIST's, 8 by 8 pixels, by 13 people. To the package a
digit is what a pixel is elsewhere: a row of numbers with a class. The same *mlp* that colours
tissues is fitted to them, by the same function.

**In the window:** the digits are no image to segment; the network is *mlp* in *Train* with one
hidden layer.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.model.pixel_specs import MlpSpec, SoftmaxSpec
from napari_unetseg.core.nn.training.fit_pixels import fit_table

digits = load_digits()
pictures, classes = digits.data.astype(np.float32) / 16, digits.target.astype(np.uint8)
# A random split: the same people wrote what is learnt and what is held out.
order = np.random.default_rng(0).permutation(len(classes))
learnt, held_out = order[450:], order[:450]


def table(rows):
    """Return the digits of these rows as something to learn from."""
    return PixelTable(pictures[rows], classes[rows], np.ones(len(rows)), 10)


def said(network, rows=held_out):
    """Return the likeliest class of the digits of these rows, by default those held out."""
    with torch.no_grad():
        evidence = network(torch.from_numpy(pictures[rows].T[None].copy()))[0]
    return evidence.argmax(0).numpy()


# %%
# Two layers
# ----------

two = fit_table(MlpSpec(layers=1, width=64), table(learnt))
right = np.mean(said(two) == classes[held_out])
print("layers:", " -> ".join(map(str, two.sizes)))
print(f"two layers: {right:.1%} of {len(held_out)} digits held out at random are right")
assert right >= 0.97

# %%
# That is of digits drawn at random. The file has them in the order of their writers, and those of
# the last quarter are other people's: harder, and closer to what new post will look like.

others = np.arange(len(classes))[-450:]
two_others = fit_table(MlpSpec(layers=1, width=64), table(np.arange(len(classes) - 450)))
right_others = np.mean(said(two_others, others) == classes[others])
print(f"two layers, other writers: {right_others:.1%}")
assert 0.9 < right_others < right

# %%
# One layer, for comparison, and the negative control: labels that are shuffled teach nothing.

one = fit_table(SoftmaxSpec(), table(learnt))
right_one = np.mean(said(one) == classes[held_out])
print(f"one layer: {right_one:.1%}")
shuffled = table(learnt)
shuffled = PixelTable(
    shuffled.inputs, np.random.default_rng(1).permutation(shuffled.targets), shuffled.counts, 10
)
nothing = np.mean(said(fit_table(MlpSpec(layers=1, width=64), shuffled)) == classes[held_out])
print(f"shuffled labels: {nothing:.1%}")
assert nothing < 0.25

# %%

answers = said(two)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (classes[held_out], answers), 1)
figure = plt.figure(figsize=(10, 5.4), layout="constrained")
left, right_side = figure.subfigures(1, 2, width_ratios=(1, 1.2))
axes = left.subplots(4, 5)
wrong = np.flatnonzero(answers != classes[held_out])
shown = np.concatenate([wrong[:10], np.flatnonzero(answers == classes[held_out])])[:20]
for axis, k in zip(axes.flat, shown, strict=True):
    axis.imshow(digits.images[held_out[k]], cmap="gray_r")
    good = answers[k] == classes[held_out[k]]
    axis.set_title(
        f"{classes[held_out[k]]} read {answers[k]}", fontsize=8, color="black" if good else "C3"
    )
    axis.set_axis_off()
left.suptitle("what it misread, and some that it did not", fontsize=10)
axis = right_side.subplots()
axis.imshow(confusion, cmap="Blues", vmax=10)
for row, column in np.argwhere(confusion):
    many = confusion[row, column] > 5
    axis.text(
        column,
        row,
        confusion[row, column],
        ha="center",
        va="center",
        fontsize=8,
        color="white" if many else "black",
    )
axis.set(xlabel="read", ylabel="written", xticks=range(10), yticks=range(10))
axis.set_title(f"{right:.1%} of the held-out digits are right", fontsize=10)

# %%
# What the hidden units look for: their weights as pictures. Red adds, blue takes away.

weights = two.dense[0].weight.numpy()
figure, axes = plt.subplots(3, 10, figsize=(9, 2.9), layout="constrained")
for axis, weight in zip(axes.flat, weights, strict=False):
    limit = np.quantile(np.abs(weight), 0.95)
    axis.imshow(weight.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axis.set_axis_off()
