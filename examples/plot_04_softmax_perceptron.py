r"""
4. The softmax perceptron: several classes by evidence
======================================================

With more than two classes each has weights of its own and collects evidence
:math:`a_i = \sum_j w_{ij} x_j`. The softmax turns the strengths of evidence into probabilities
that add to one,

.. math:: \hat y_i = \frac{\exp(a_i)}{\sum_j \exp(a_j)} ,

and the *categorical cross-entropy* :math:`E = \sum_n \sum_i -y_i \log \hat y_i` is the surprise at
the class that was painted. In a network this is one dense layer.

**In the window:** File > Open Sample > UNet Segmentation > Tissue of two textures, a new Labels
layer, strokes of 1, 2 and 3 on glass, fibres and gland. In *Train* choose *softmax*, tick *Live*;
*Train*, then *Predict*.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from skimage import data

import napari_unetseg as seg
from napari_unetseg.core.model.pixel_specs import mixed_inputs, sees_features
from napari_unetseg.core.nn.restore import network_of
from napari_unetseg.core.normalisation import fit_normalisation

# Told apart by the colour-blind as well.
HUES = ListedColormap(["#0072b2", "#e69f00", "#009e73"])

# %%
# A drawn tissue
# --------------
# Fibres and gland are equally dark: texture alone tells them apart. A stroke of each class is
# taken from the truth, about one pixel in forty; the rest is for judging.

sample = seg.samples.tissue((256, 256), seed=1)
truth = sample.classes + 1
strokes = np.zeros(truth.shape, np.uint8)
for row in (40, 128, 216):
    strokes[row : row + 2] = truth[row : row + 2]
names = ("glass", "fibres", "gland")
image = sample.as_image()
how = {
    "model": "softmax",
    "labels_are": "scribbles",
    "class_names": names,
    "validation": 0.0,
    "features": "bank",
}
model = seg.train(image, strokes, name="tissue", **how)
proba = seg.predict(image, model, "probabilities").asarray()
classes = seg.predict(image, model)
unseen = strokes == 0
scores = {
    name: seg.evaluate((classes.data == k) & unseen, (truth == k) & unseen).dice
    for k, name in enumerate(names, 1)
}
print(f"painted: {(strokes > 0).mean():.1%} of the pixels")
for name, score in scores.items():
    print(f"Dice of {name} where nothing was painted: {score:.3f}")
assert min(scores.values()) > 0.75

# %%
# Probabilities add to one, and adding the same to all evidence changes nothing: softmax asks who
# has more.

print(f"probabilities add to 1 within {np.abs(proba.sum(0) - 1).max():.1e}")
assert np.allclose(proba.sum(0), 1, atol=1e-5)
evidence = np.array([2.0, 1.0, -1.0])
softmax = np.exp(evidence) / np.exp(evidence).sum()
shifted = np.exp(evidence + 5) / np.exp(evidence + 5).sum()
print("evidence 2, 1, -1 becomes", ", ".join(f"{p:.3f}" for p in softmax))
assert np.allclose(softmax, shifted)

# %%
# The cost at the strokes, by hand, against what knowing nothing costs.

painted = strokes > 0
said = np.take_along_axis(proba[:, painted], strokes[painted][None].astype(int) - 1, 0)
cost = -np.log(said).mean()
print(f"categorical cross-entropy at the strokes: {cost:.3f} nats; of a guess: {np.log(3):.3f}")
assert cost < 0.5 * np.log(3)

# %%
# Brightness alone
# ----------------
# The same perceptron shown nothing but the pixel cannot tell the two tissues apart: that is the
# negative control, and why the filter bank is there.

no_filters = dict.fromkeys(("gaussian", "gradient", "hessian", "structure"), False)
blind = seg.predict(image, seg.train(image, strokes, name="pixel", **how, **no_filters))
blind_dice = [seg.evaluate((blind.data == k) & unseen, (truth == k) & unseen).dice for k in (2, 3)]
print(f"shown the pixel alone: Dice {blind_dice[0]:.3f} of fibres, {blind_dice[1]:.3f} of gland")
assert max(blind_dice) < min(scores["fibres"], scores["gland"])

# %%

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
axes[0, 0].imshow(sample.image, cmap="gray")
axes[0, 0].imshow(np.ma.masked_equal(strokes, 0), cmap=HUES, interpolation="nearest", vmin=1)
axes[0, 0].set_title("strokes on a drawn tissue", fontsize=10)
axes[0, 1].imshow(classes, cmap=HUES, vmin=1, vmax=3, interpolation="nearest")
axes[0, 1].set_title("likeliest class: glass, fibres, gland", fontsize=10)
axes[0, 2].imshow(blind, cmap=HUES, vmin=1, vmax=3, interpolation="nearest")
axes[0, 2].set_title("shown the pixel alone", fontsize=10)
for k, axis in enumerate(axes[1]):
    shown = axis.imshow(proba[k], cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"probability of {names[k]}", fontsize=10)
for axis in axes.flat:
    axis.set_axis_off()
figure.colorbar(shown, ax=axes[1].tolist(), shrink=0.8)

# %%
# The layer's weights, each times the spread of its feature: who speaks for which class.

spec = model.spec
assert sees_features(spec)
scaled = fit_normalisation(image, model.normalisation).apply(sample.image[None])
inputs = mixed_inputs(scaled, spec).whole()
(layer,) = network_of(model).dense
weights = layer.weight.numpy() * inputs.reshape(len(inputs), -1).std(1)
figure, axis = plt.subplots(figsize=(9, 2.6), layout="constrained")
limit = np.abs(weights).max()
axis.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
axis.set_yticks(range(3), names)
axis.set_xticks(range(len(inputs)), spec.names(2), rotation=60, ha="right", fontsize=7)
axis.set_title("evidence for (red) and against (blue)")

# %%
# A real tissue
# -------------
# Colonic glands stained brown, from scikit-image, with a handful of strokes by hand. There is no
# truth to score against; look.

colours = data.immunohistochemistry()[256:512, 200:456]
strokes = np.zeros(colours.shape[:2], np.uint8)
strokes[56:64, 44:60] = strokes[150:196, 235:250] = strokes[200:236, 20:28] = 1
strokes[156:166, 98:132] = strokes[184:192, 98:112] = strokes[60:64, 86:100] = 2
strokes[128:148, 35:40] = strokes[100:130, 217:221] = strokes[162:174, 12:16] = 3
strokes[106:114, 104:112] = strokes[150:156, 156:164] = strokes[90:100, 62:70] = 3
gland = seg.train(
    colours, strokes, "softmax", labels_are="scribbles", sigmas="1, 2", validation=0.0
)
found = seg.predict(colours, gland)
figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
axes[0].imshow(colours)
axes[0].imshow(np.ma.masked_equal(strokes, 0), cmap=HUES, interpolation="nearest", vmin=1, vmax=3)
axes[1].imshow(found, cmap=HUES, vmin=1, vmax=3, interpolation="nearest")
axes[0].set_title("strokes", fontsize=10)
axes[1].set_title("pale, brown, nuclei", fontsize=10)
for axis in axes:
    axis.set_axis_off()
