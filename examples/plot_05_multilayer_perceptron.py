r"""
5. The multilayer perceptron, and back-propagation by hand
==========================================================

A sum of sums is a sum: dense layers gain from being stacked only with something bent between them,
here :math:`f(a) = \max(0, a)`, the ReLU. Layer :math:`l` of :math:`L`:

.. math:: a_i^l = f^l\Big(\sum_j w_{ij}^l a_j^{l-1}\Big), \qquad a_i^0 = x_i .

The slope of the cost with respect to every weight follows from that of the layer above (the *delta
rule*): an error enters at the top and is handed down,

.. math:: g_j^{l-1} = \sum_i f_i^{l\prime} \, w_{ij}^l \, g_i^l , \qquad
          \frac{dE}{dw_{ij}^l} = f_i^{l\prime} \, g_i^l \, a_j^{l-1} .

With softmax and cross-entropy on top the error is :math:`\hat y - y`. Below this is written out in
a few lines, and compared with what torch derives by itself.

**In the window:** as for the softmax perceptron, with *mlp* in *Train*; *Hidden layers* and *Units
a layer* are in the options of the model.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.model.pixel_specs import MlpSpec, SoftmaxSpec, mixed_inputs
from napari_unetseg.core.nn.networks.perceptron import PixelNetwork
from napari_unetseg.core.nn.training.fit_pixels import fit_pixels
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import membranes
from napari_unetseg.core.scoring.pixel_scores import dice

# %%
# Three dense layers
# ------------------
# Pixels of a tissue of bright membranes, a filter bank's features of each, two classes.

sample = membranes((192, 192), seed=3)
image = sample.as_image()
normalisation = fit_normalisation(image, NormalisationSpec())
bank = {"sigmas": "1, 2", "gaussian": True, "gradient": True, "hessian": True}
inputs = mixed_inputs(normalisation.apply(sample.image[None]), SoftmaxSpec(**bank)).whole()
wall = sample.classes == 1
rng = np.random.default_rng(0)
chosen = rng.choice(wall.size, 200, replace=False)
x = torch.from_numpy(inputs.reshape(len(inputs), -1)[:, chosen].T.astype(np.float64))
x = (x - x.mean(0)) / x.std(0)
y = functional.one_hot(torch.from_numpy(wall.ravel()[chosen].astype(int)), 2).double()

torch.manual_seed(0)
network = PixelNetwork(x.shape[1], 2, hidden=(16, 16)).double()
for layer in network.dense:
    torch.nn.init.kaiming_normal_(layer.weight)
    torch.nn.init.normal_(layer.bias, std=0.1)
print("layers:", " -> ".join(map(str, network.sizes)))

# %%
# Forward, and back
# -----------------

with torch.no_grad():
    activities = [x]
    for number, layer in enumerate(network.dense, start=1):
        weighted = activities[-1] @ layer.weight.T + layer.bias
        last = number == len(network.dense)
        activities.append(weighted.softmax(1) if last else weighted.clamp(min=0))
    error = (activities[-1] - y) / len(x)
    by_hand = []
    for layer, below in zip(reversed(network.dense), reversed(activities[:-1]), strict=True):
        by_hand.insert(0, (error.T @ below, error.sum(0)))
        error = (error @ layer.weight) * (below > 0)

cost = functional.cross_entropy(network(x), y)
cost.backward()
for number, (layer, (weight, bias)) in enumerate(zip(network.dense, by_hand, strict=True), 1):
    far = max((layer.weight.grad - weight).abs().max(), (layer.bias.grad - bias).abs().max())
    print(f"layer {number}: by hand and by autograd differ by {far:.1e}")
    assert far < 1e-12

# %%
# And by brute force: move one weight a little, look at the cost.

weight = network.dense[0].weight
with torch.no_grad():
    h, costs = 1e-6, []
    for move in (h, -2 * h):
        weight[3, 1] += move
        costs.append(functional.cross_entropy(network(x), y).item())
    weight[3, 1] += h
measured = (costs[0] - costs[1]) / (2 * h)
print(f"one slope: {by_hand[0][0][3, 1]:.8f} by hand, {measured:.8f} measured")
assert abs(by_hand[0][0][3, 1] - measured) < 1e-7

# %%
# What the bend is good for
# -------------------------
# Between two features, a dense layer draws a line and a stack of them a polygon. Here a pixel is of
# class 2 where it is neither bright nor dark: no threshold and no line does that.

grey = normalisation.apply(sample.image[None])[0]
low, high = np.quantile(grey, (0.35, 0.65))
middle = (grey > low) & (grey < high)
strokes = np.zeros(grey.shape, np.uint8)
strokes[::24] = 1 + middle[::24]
example = AnnotatedImage(sample.image[None], Annotation.of(strokes), normalisation)
only = {"gaussian": False, "gradient": False, "hessian": False, "structure": False}
found = {}
for name, spec in (("softmax", SoftmaxSpec(**only)), ("mlp", MlpSpec(**only, regularisation=0.01))):
    model = fit_pixels(spec, [example])
    shown = normalisation.apply(sample.image[None])
    proba = model.predict_proba(shown, origin=(0, 0), shape=grey.shape)[1]
    found[name] = proba
    print(f"{name}: Dice {dice(proba > 0.5, middle):.3f} of the middle grey levels")
assert dice(found["mlp"] > 0.5, middle) > 0.9 > 0.7 > dice(found["softmax"] > 0.5, middle)

# %%

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
axes[0].imshow(sample.image, cmap="gray")
axes[0].set_title("membranes", fontsize=10)
axes[0].set_axis_off()
order = np.argsort(grey.ravel())[::50]
for name, proba in found.items():
    axes[1].plot(grey.ravel()[order], proba.ravel()[order], label=name)
axes[1].axvspan(low, high, color="0.9", zorder=0, label="class 2")
axes[1].set(xlabel="grey level", ylabel="probability of class 2")
axes[1].set_title("one layer is monotonic, three bend", fontsize=10)
axes[1].legend(fontsize=8)
ours = torch.cat([w.ravel() for w, _ in by_hand])
theirs = torch.cat([layer.weight.grad.ravel() for layer in network.dense])
axes[2].plot(theirs.numpy(), ours.numpy(), ".", ms=3)
axes[2].axline((0, 0), slope=1, color="0.6", lw=0.8, zorder=0)
axes[2].set(xlabel="autograd", ylabel="delta rule, by hand")
axes[2].set_title(f"{len(ours)} slopes", fontsize=10)
