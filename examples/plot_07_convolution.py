r"""
7. Convolution: a dense layer with tied weights
===============================================

What a pixel means should not depend on where it is. So all units of a layer get the same weights,
each looking at its own neighbourhood: :math:`w_{ij} = w_{i-j} = w_k`. The dense layer becomes a
convolution,

.. math:: a_i^l = f\Big(\sum_k w_k \, a_{i-k}^{l-1}\Big) , \qquad
          \frac{dE}{dw_k} = \sum_i f_i^{l\prime} \, g_i^l \, a_{i-k}^{l-1} ,

and the slope of a tied weight is the sum of the slopes of all that are tied.

At the rim a unit's neighbourhood leaves the image. Filling up with zeros keeps the size (*same*)
and makes something up; computing only what can be known (*valid*) shrinks the result.

**In the window:** *cnn* and *unet* in *Train* are built of these; *Padding* is in the options of
the UNet. *Predict* mirrors the image at its edges, so that zeros stay far away.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.networks.blocks import CONVOLUTION
from napari_unetseg.core.nn.training.fit_network import fit_network
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import nuclei

# %%
# The same numbers
# ----------------
# An image of 12 by 12 pixels and a kernel of 3 by 3, without padding: 100 units of 144 inputs are
# 14 400 weights in a dense layer, of which here 13 500 are zero and the rest are nine numbers.

torch.manual_seed(0)
n, kernel = 12, 3
inner = n - kernel + 1
picture = torch.rand(1, 1, n, n)
convolution = CONVOLUTION[2](1, 1, kernel, bias=False)
taps = convolution.weight.detach().ravel()

tied = np.full((inner * inner, n * n), -1)
for unit, (row, column) in enumerate(np.ndindex(inner, inner)):
    for k, (down, right) in enumerate(np.ndindex(kernel, kernel)):
        tied[unit, (row + down) * n + column + right] = k
dense = torch.where(torch.from_numpy(tied >= 0), taps[tied], 0.0).requires_grad_()

by_convolution = convolution(picture)
by_dense = (dense @ picture.ravel()).reshape(by_convolution.shape)
far = (by_convolution - by_dense).abs().max().item()
print(f"dense and convolution differ by {far:.1e} at most")
assert far < 1e-6

# %%
# The same slopes, summed over what is tied.

goal = torch.rand(by_convolution.shape)
((by_convolution - goal) ** 2).sum().backward()
((by_dense - goal) ** 2).sum().backward()
summed = torch.stack([dense.grad[torch.from_numpy(tied == k)].sum() for k in range(kernel**2)])
far = (convolution.weight.grad.ravel() - summed).abs().max().item()
print(f"slopes of the nine weights differ by {far:.1e} from sums over {inner * inner} ties each")
assert far < 1e-4

# %%
# And what the tie buys: shift the picture, and the answer shifts along. An untied layer of random
# weights knows nothing of that.

shifted = torch.roll(picture, 1, dims=3)
moved = torch.roll(convolution(picture), 1, dims=3)[..., 1:]
far = (convolution(shifted)[..., 1:] - moved).abs().max().item()
untied = torch.randn(dense.shape)
answers = [(untied @ one.ravel()).reshape(by_convolution.shape) for one in (picture, shifted)]
off = (answers[1][..., 1:] - torch.roll(answers[0], 1, dims=3)[..., 1:]).abs().mean().item()
print(f"shifted input: the convolution follows within {far:.1e}, an untied layer is {off:.1f} off")
assert far < 1e-6 < 0.1 < off

# %%
# The rim
# -------
# Two small UNets, one padded with zeros and one not, learn nuclei. Then each sees a piece of an
# image alone, and the same piece in its surroundings. Where both answers differ, the rim speaks.

sample = nuclei((256, 256), seed=1)
image = sample.as_image()
normalisation = fit_normalisation(image, NormalisationSpec())
example = AnnotatedImage(sample.image[None], Annotation.of(sample.mask, "mask"), normalisation)
options = TrainOptions(until="epochs", epochs=1, steps=60, patch=64, validation=0, averaging=0)
piece = slice(64, 192)
alone, whole = sample.image[None, piece, piece], sample.image[None]


def trained(padding):
    """Return a small UNet and its segmenter."""
    spec = UNetSpec(depth=2, width=8, stem="plain", padding=padding)
    fitted = fit_network(spec, TrainingSet.of_images([example], options), options)
    return fitted.network, fitted.segmenter()


def away(network, numbers):
    """Return the probability of nuclei in a normalised image, as the network gives it."""
    with torch.no_grad():
        x = torch.from_numpy(normalisation.apply(numbers))[None]
        return network(x).softmax(1)[0, 1].numpy()


same, segmenter = trained("same")
valid, _ = trained("valid")
around = away(same, whole)[piece, piece]
zeros = np.abs(away(same, alone) - around)
part = Image(alone[0], "YX")
mirrored = predict_proba_image(part, segmenter, normalisation).asarray()[1]
mirror = np.abs(mirrored - around)

(first,) = set(valid.offset)
kept = away(valid, alone)
everything = away(valid, whole)
unpadded = np.abs(kept - everything[64 : 64 + len(kept), 64 : 64 + len(kept)])

depth = np.minimum.reduce(
    np.indices((128, 128)).tolist() + [127 - i for i in np.indices((128, 128))]
)


def by_depth(off):
    """Return the mean difference at each distance from the rim."""
    return [off[depth == d].mean() for d in range(64)]


rim = {"zeros (same)": by_depth(zeros), "mirrored (Predict)": by_depth(mirror)}
for name, line in rim.items():
    print(f"{name}: {np.mean(line[:4]):.4f} off within 4 pixels of the rim, {line[40]:.5f} inside")
print(f"valid: {unpadded.max():.1e} off anywhere, but {128 - len(kept)} pixels of 128 are lost")
assert np.mean(rim["zeros (same)"][:4]) > 3 * np.mean(rim["zeros (same)"][40:])
assert np.mean(rim["mirrored (Predict)"][:4]) < np.mean(rim["zeros (same)"][:4])
assert unpadded.max() < 1e-4

# %%

figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
axes[0].spy(dense.detach().numpy(), markersize=0.6)
axes[0].set_title("the dense layer's weights: nine, tied", fontsize=10)
axes[0].set(xlabel="inputs", ylabel="units", xticks=[], yticks=[])
axes[1].imshow(alone[0], cmap="gray")
axes[1].set_title("a piece of an image", fontsize=10)
axes[1].set_axis_off()
shown = axes[2].imshow(zeros, cmap="inferno", vmax=0.3)
axes[2].set_title("what zeros at the rim change", fontsize=10)
axes[2].set_axis_off()
figure.colorbar(shown, ax=axes[2], shrink=0.8)
for name, line in rim.items():
    axes[3].plot(line, label=name)
axes[3].axvspan(0, first, color="0.9", label="left out (valid)")
axes[3].set(xlabel="pixels from the rim", ylabel="mean change of probability", xlim=(0, 50))
axes[3].legend(fontsize=8)
