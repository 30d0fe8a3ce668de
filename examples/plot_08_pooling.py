r"""
8. Pooling, stride, downsampling: what is lost, and what is made up
===================================================================

Networks look at ever coarser images. Halving keeps of every two pixels the larger (*max pooling*),
the mean (*mean pooling*), a learnt weighting (*stride*), or one of them after a fixed low-pass
(*downsampling*),

.. math:: a_i^l = \max(a_{2i}^{l-1}, a_{2i+1}^{l-1}) .

What is finer than two of the new pixels cannot be shown by them. Unless it is filtered away first
it comes back as something else, coarse and wrong: *aliasing*. And going back, the slope of a
maximum reaches only the pixel that was the largest.

**In the window:** *Pooling* in the options of the UNet (under *More options* in *Train*): max,
mean, strided.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data
from torch.nn import functional

from napari_unetseg.core.nn.networks.blocks import downsampling

# %%
# Four ways to halve
# ------------------
# The package's own modules; the strided convolution with the weights it would need to pick every
# second pixel, and to pick it after the low-pass ¼ ½ ¼.

pick = downsampling("strided", 1, (2, 2), 2)
with torch.no_grad():
    pick.weight.zero_()
    pick.weight[0, 0, 0, 0] = 1
    pick.bias.zero_()
bell = torch.tensor([0.25, 0.5, 0.25])
bell = (bell[:, None] * bell)[None, None]


def low_passed(x):
    """Return every second pixel of the smoothed image."""
    return pick(functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), bell))


ways = {
    "every second pixel": pick,
    "max": downsampling("max", 1, (2, 2), 2),
    "mean": downsampling("mean", 1, (2, 2), 2),
    "low-pass": low_passed,
}

# %%
# Waves from coarse to fine, and how much of each comes through. Beyond a quarter of a wave a pixel
# (the Nyquist frequency of the halved image) all that comes through is false.

frequencies = np.linspace(0.01, 0.49, 60)
columns = np.arange(256)
passed = {name: [] for name in ways}
for frequency in frequencies:
    # Two phases a quarter apart, so that it does not matter where the pixels fall.
    waves = [np.cos(2 * np.pi * frequency * columns + phase) for phase in (0, np.pi / 2)]
    for name, way in ways.items():
        power = 0.0
        for wave in waves:
            x = torch.from_numpy(np.tile(wave, (16, 1)).astype(np.float32))[None, None]
            with torch.no_grad():
                y = way(x)[0, 0, 4, 4:-4].numpy()
            power += ((y - y.mean()) ** 2).mean()
        passed[name].append(np.sqrt(power / np.mean([(w**2).mean() for w in waves]) / 2))
beyond = frequencies > 0.3
for name, response in passed.items():
    print(
        f"{name}: {np.mean(np.array(response)[beyond]):.2f} of the too fine waves comes back false"
    )
false = {name: np.mean(np.array(response)[beyond]) for name, response in passed.items()}
assert false["low-pass"] < false["mean"] < 0.9 * false["every second pixel"]

# %%
# For the two linear smoothers the response has a formula: :math:`|\cos \pi f|` and its square.

assert np.allclose(passed["mean"], np.abs(np.cos(np.pi * frequencies)), atol=0.08)
assert np.allclose(passed["low-pass"], np.cos(np.pi * frequencies) ** 2, atol=0.08)

# %%
# On a picture
# ------------
# Grass, from scikit-image, halved twice. The false part is what halving makes of all that the
# halved image cannot show: of the picture less its own low-passed self.

grass = torch.from_numpy(data.grass()[:256, :256].astype(np.float32) / 255)[None, None]
spectrum = torch.fft.fft2(grass)
along = torch.fft.fftfreq(256).abs()
coarse = (along[:, None] < 0.25) & (along < 0.25)
showable = torch.fft.ifft2(spectrum * coarse).real
shares = {}
with torch.no_grad():
    for name, way in ways.items():
        false_part = way(grass) - way(showable)
        shares[name] = (false_part.var() / way(grass).var()).item()
        print(f"grass, {name}: {shares[name]:.1%} of the variance is false")
assert shares["low-pass"] < shares["mean"] < shares["every second pixel"]

# %%
# The way back through a maximum
# ------------------------------

x = torch.tensor([[1.0, 3.0], [2.0, 0.0]])[None, None].requires_grad_()
(through_max,) = torch.autograd.grad(ways["max"](x).sum(), x)
(through_mean,) = torch.autograd.grad(ways["mean"](x).sum(), x)
print("slope through max: ", through_max.ravel().tolist())
print("slope through mean:", through_mean.ravel().tolist())
assert through_max.ravel().tolist() == [0, 1, 0, 0]
assert through_mean.ravel().tolist() == [0.25] * 4

# %%

rings = (np.indices((192, 192)) ** 2).sum(0)
plate = torch.from_numpy(0.5 + 0.5 * np.cos(np.pi / 192 * rings / 2).astype(np.float32))[None, None]
figure, axes = plt.subplots(2, 5, figsize=(12, 5), layout="constrained")
for row, picture in zip(axes, (plate, grass[..., :192, :192]), strict=True):
    row[0].imshow(picture[0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
    for axis, way in zip(row[1:], ways.values(), strict=True):
        with torch.no_grad():
            axis.imshow(way(way(picture))[0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
for axis, title in zip(axes[0], ["rings, ever finer", *ways], strict=True):
    axis.set_title(title, fontsize=10)
for axis in axes.flat:
    axis.set_axis_off()

# %%

figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, response in passed.items():
    axis.plot(frequencies, response, label=name)
axis.axvspan(0.25, 0.5, color="0.92", zorder=0)
axis.text(0.26, 0.05, "too fine: all of this is false", fontsize=9)
axis.set(xlabel="waves a pixel", ylabel="share that comes through", ylim=(0, 1.1))
axis.legend(fontsize=8)
