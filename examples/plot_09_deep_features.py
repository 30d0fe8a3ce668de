r"""
9. Deep features: what the layers of a network see
==================================================

A convolutional network looks at ever coarser images with ever more channels. Channel :math:`c` of
layer :math:`l` answers

.. math:: a_c^l(i) = f\Big(\sum_{c'} \sum_k w^l_{c c' k} \, a_{c'}^{l-1}(i - k)\Big)

at every place :math:`i`: a *feature map*. The first layers answer to edges and brightness, deep
ones to shapes. What a channel looks for can be asked in two ways: which places of the image make
it answer most, and which picture would, found by climbing up the slope of the answer,
:math:`\Delta x = +\lambda \, da_c^l / dx`, from noise.

**In the window:** train a UNet (or load one that ships), then Plugins > UNet Segmentation >
Features. Choose the *Layer* and click *Show*: the maps come as a stack, slide through its first
axis. With *Show* set to what excites a channel, the picture and the places appear in the dock.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.inference.excite import excite
from napari_unetseg.core.nn.inference.feature_maps import feature_maps, list_layers, patches_of
from napari_unetseg.core.samples import membranes
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import TrainingPair, train
from napari_unetseg.core.training.train_options import TrainOptions

torch.set_num_threads(1)

# %%
# A network to look into
# ----------------------
# A small UNet learns the bright walls between the cells of a tissue.

sample, unseen = membranes((192, 192), seed=3), membranes((192, 192), seed=8)
spec = UNetSpec(depth=2, width=8, stem="plain", resolution="full")
options = TrainOptions(
    until="epochs", epochs=1, steps=80, patch=64, validation=0, averaging=0.9, seed=1
)
lesson = TrainingPair(sample.as_image(), sample.classes)
model = train(spec, [lesson], options, name="walls", labels_are="mask").model
image = unseen.as_image()
score = dice(predict(model, image).asarray() == 1, unseen.classes == 1)
print(f"Dice {score:.3f} on a tissue it never saw")
assert score > 0.7

# %%
# Its layers
# ----------

layers = list_layers(model)
for facts in layers:
    print(f"{facts.name}: {facts.channels} channels, one value for {facts.step[0]} px a side")
maps = {facts.name: feature_maps(model, image, facts.name) for facts in layers}
evidence = torch.from_numpy(maps["evidence"].maps).softmax(0).numpy()
predicted = predict(model, image, PredictOptions(what="probabilities")).asarray()
print(f"softmax of the last maps is the prediction within {np.abs(evidence - predicted).max():.0e}")
assert np.abs(evidence - predicted).max() < 1e-3

# %%
# What deeper layers know
# -----------------------
# How well one single map, thresholded at the best level, already finds the walls: the best channel
# of each layer. The answer comes together on the way.


def best_channel(name):
    """Return the channel that alone finds the walls best, and its Dice."""
    found, walls = maps[name], unseen.classes == 1
    step = found.layer.step[0]
    scores = []
    for one in found.maps:
        fine = np.kron(one, np.ones((step, step)))[: walls.shape[0], : walls.shape[1]]
        levels = np.quantile(fine, (0.7, 0.75, 0.8, 0.85, 0.9))
        scores.append(max(dice(fine > level, walls) for level in levels))
    return int(np.argmax(scores)), max(scores)


best = {facts.name: best_channel(facts.name) for facts in layers}
for name, (channel, alone) in best.items():
    print(f"{name}: channel {channel} alone finds the walls with a Dice of {alone:.2f}")
assert best["evidence"][1] > best["bottom"][1]

# %%

shown = [facts.name for facts in layers]
figure, axes = plt.subplots(len(shown), 6, figsize=(9, 9.4), layout="constrained")
for row, name in zip(axes, shown, strict=True):
    strongest = np.argsort(-maps[name].maps.reshape(len(maps[name].maps), -1).std(1))[:6]
    for axis in row:
        axis.set_axis_off()
    for axis, channel in zip(row, strongest, strict=False):
        axis.imshow(maps[name].maps[channel], cmap="gray")
        axis.set_title(f"{name}: {channel}", fontsize=8)
figure.suptitle("feature maps of a tissue, from the image down and up again", fontsize=10)

# %%
# What excites a channel
# ----------------------
# Of each layer the channel that finds the walls best: the picture drawn from noise, and the four
# places of the tissue that it answers most to.

figure, axes = plt.subplots(len(shown), 5, figsize=(7.5, 9), layout="constrained")
raised = {}
for row, name in zip(axes, shown, strict=True):
    channel = best[name][0]
    drawn = excite(model, name, channel, side=48, steps=60)
    raised[name] = (drawn.before, drawn.after)
    places = maps[name].most_excited(channel, 4, 32)
    patches = patches_of(unseen.image[None].astype(np.float32), [p for p, _ in places], 32)
    row[0].imshow(drawn.picture[0], cmap="gray")
    row[0].set_title(f"{name}: {channel}, drawn", fontsize=8)
    for axis in row:
        axis.set_axis_off()
    for axis, patch, (_, answer) in zip(row[1:], patches, places, strict=False):
        axis.imshow(patch[0], cmap="gray", vmin=0, vmax=unseen.image.max())
        axis.set_title(f"answers {answer:.2g}", fontsize=8)
for name, (before, after) in raised.items():
    print(f"{name}: mean answer raised from {before:.3g} to {after:.3g}")
    assert after > before
