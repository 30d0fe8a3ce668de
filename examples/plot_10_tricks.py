r"""
10. The tricks of deep networks, on and off
===========================================

Back-propagation multiplies: the slope at layer :math:`l` carries a factor :math:`f'` and a weight
for every layer above it,

.. math:: g^{l-1} = (W^l)^T \big( f'(a^l) \odot g^l \big) ,

and a deep network with a factor below one everywhere does not learn. With many weights it learns by
heart instead. A handful of tricks deal with the one and the other. Here each is switched on and off
on the same small task, the walls of a tissue. What a trick brings depends on the task: the numbers
are those of this one, and a difference that another seed could make is not judged.

**In the window:** all of them are options of the UNet or of the training (*More options* in
*Train*), with a line that says when to use each; *Start from* is transfer learning, *Pretrain on*
self-supervision.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.networks.blocks import Style, convolution
from napari_unetseg.core.nn.networks.build_network import n_parameters
from napari_unetseg.core.nn.training.fit_network import WarmStart, fit_network
from napari_unetseg.core.nn.training.pretrain import pretrain
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import membranes

torch.set_num_threads(1)


def example_of(sample):
    """Return a drawn micrograph and its mask as something to learn from."""
    scaling = fit_normalisation(sample.as_image(), NormalisationSpec())
    return AnnotatedImage(sample.image[None], Annotation.of(sample.classes, "mask"), scaling)


SPEC = UNetSpec(depth=2, width=6, stem="plain", resolution="full")
PLAN = TrainOptions(until="epochs", epochs=6, steps=8, patch=48, averaging=0.8, validation=0.4)
TISSUE = example_of(membranes((144, 144), seed=2))


def curve(spec=SPEC, plan=PLAN, data=TISSUE, **how):
    """Train, and return the Dice on what was held out after each epoch, and the training."""
    fitted = fit_network(spec, TrainingSet.of_images([data], plan), plan, **how)
    return [record.dice for record in fitted.history if record.dice is not None], fitted


# The same with other seeds: what a difference between two trainings has to exceed.
repeats = [curve(plan=PLAN.model_copy(update={"seed": seed}))[0] for seed in (1, 2)]
base, fitted = curve()
spread = np.std([np.mean(found) for found in (base, *repeats)], ddof=1)
print(f"another seed changes the mean Dice over the training by {spread:.3f} (standard deviation)")
print(f"the UNet as it is: Dice {base[-1]:.3f} held out, {n_parameters(fitted.network):,} weights")
assert base[-1] > 0.7
curves = {}

# %%
# Vanishing slopes
# ----------------
# Twelve convolutions in a row, with weights of chance: the size of the slope at the first, as a
# part of that at the last. The sigmoid's :math:`f'` is at most a quarter; the ReLU's is one or
# zero. Batch normalisation puts each layer's sums where :math:`f'` is large, and residual
# connections lead the slope past the layers.


def slopes(activation, normalisation, *, residual=False, layers=12):
    """Return the root mean square slope of the weights of every layer."""
    torch.manual_seed(0)
    style = Style(2, normalisation, activation, 0.0)
    blocks = [convolution(8, 8, (3, 3), style) for _ in range(layers)]
    for block in blocks:
        torch.nn.init.kaiming_normal_(block[0].weight, nonlinearity="relu")
    x = torch.randn(4, 8, 24, 24)
    for block in blocks:
        x = block(x) + x if residual else block(x)
    (x * torch.randn(x.shape)).mean().backward()
    return np.array([block[0].weight.grad.square().mean().sqrt().item() for block in blocks])


falls = {
    "sigmoid": slopes("sigmoid", "none"),
    "ReLU": slopes("relu", "none"),
    "sigmoid, batch norm": slopes("sigmoid", "batch"),
    "sigmoid, residual": slopes("sigmoid", "none", residual=True),
}
reaching = {name: fall[0] / fall[-1] for name, fall in falls.items()}
for name, share in reaching.items():
    print(f"{name}: the slope at the first layer is {share:.1e} of that at the last")
assert reaching["sigmoid"] < 1e-4 < 1e-2 < reaching["ReLU"]
assert reaching["sigmoid, batch norm"] > 100 * reaching["sigmoid"]
assert reaching["sigmoid, residual"] > 100 * reaching["sigmoid"]

# %%
# The same in a training: UNets without any normalisation.

plain = SPEC.model_copy(update={"normalisation": "none"})
curves["activation"] = {
    "ReLU": curve(plain)[0],
    "sigmoid": curve(plain.model_copy(update={"activation": "sigmoid"}))[0],
}
curves["batch norm"] = {"it": base, "none": curves["activation"]["ReLU"]}
curves["residual"] = {"it": curve(SPEC.model_copy(update={"residual": True}))[0], "none": base}
curves["attention gates"] = {
    "them": curve(SPEC.model_copy(update={"attention": True}))[0],
    "none": base,
}
curves["max pooling"] = {
    "max": base,
    "mean": curve(SPEC.model_copy(update={"pooling": "mean"}))[0],
}
assert curves["activation"]["ReLU"][-1] > curves["activation"]["sigmoid"][-1] + 0.1

# %%
# Tying weights
# -------------
# Two layers that see three by three pixels. Untied, every pixel of the picture has weights of its
# own; tied, all pixels share them, which is a convolution. Both learn the same 16 cut-outs of a
# tissue with the same steps, and are asked for 16 others after every ten.


class Layer(torch.nn.Module):
    """Each of n by n units sees three by three of the last layer; one set of weights or n by n."""

    def __init__(self, c_in, c_out, sets):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(sets, c_out, 9 * c_in) * (2 / 9 / c_in) ** 0.5)
        self.bias = torch.nn.Parameter(torch.zeros(sets, c_out))

    def forward(self, x):
        seen = torch.nn.functional.unfold(x, 3, padding=1)  # images, what a unit sees, units
        weight = self.weight.expand(seen.shape[2], -1, -1)
        found = torch.einsum("bin,noi->bon", seen, weight) + self.bias.T
        return found.reshape(len(x), -1, *x.shape[2:])


def cut_outs(sample, side, n=4):
    """Return n by n cut-outs of a drawn micrograph and of its walls, as images with a channel."""
    cut = [
        torch.tensor(plane[: n * side, : n * side].reshape(n, side, n, side), dtype=torch.float32)
        .transpose(1, 2)
        .reshape(n * n, 1, side, side)
        for plane in (sample.image, sample.classes == sample.classes.max())
    ]
    return (cut[0] - cut[0].mean()) / cut[0].std(), cut[1]


def tying(sets, side=24, steps=120):
    """Return the Dice on what was not learnt, every ten steps, and the number of weights."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(Layer(1, 8, sets), torch.nn.ReLU(), Layer(8, 1, sets))
    (x, truth), (new, asked) = (cut_outs(membranes((96, 96), seed=seed), side) for seed in (2, 3))
    optimiser, found = torch.optim.Adam(network.parameters(), 0.02), []
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(x), truth).backward()
        optimiser.step()
        if step % 10 == 0:
            with torch.no_grad():
                seen = (network(new) > 0).float()
            found.append((2 * (seen * asked).sum() / (seen.sum() + asked.sum())).item())
    return found, n_parameters(network)


tied, n_tied = tying(sets=1)
untied, n_untied = tying(sets=24 * 24)
curves["tied weights"] = {"tied": tied, "untied": untied}
print(f"{n_tied} weights tied, {n_untied:,} untied: Dice {tied[-1]:.3f} and {untied[-1]:.3f}")
assert n_untied == 24 * 24 * n_tied
assert tied[-1] > untied[-1] + 0.1

# %%
# Against learning by heart
# -------------------------
# Walls drawn on the picture of another tissue: there is nothing to be learnt but by heart, and what
# is held out does not get better. Early stopping ends that after three epochs without a better one,
# and the best is kept either way.

picture, walls = membranes((80, 80), seed=6), membranes((80, 80), seed=7)
wrong = example_of(replace(picture, classes=walls.classes))
long = PLAN.model_copy(update={"epochs": 10, "steps": 5, "averaging": 0, "schedule": "constant"})
curves["early stopping"] = {}
steps, best = {}, {}
for name, plan in (("it", long.model_copy(update={"patience": 3})), ("none", long)):
    found, stopped = curve(plan=plan, data=wrong)
    curves["early stopping"][name] = found
    steps[name], best[name] = len(stopped.history), stopped.judgement.dice
    print(f"early stopping, {name}: {steps[name]} steps, best Dice held out {best[name]:.3f}")
assert steps["it"] < steps["none"]
assert best["none"] < 0.6

# %%
# Dropout silences channels at random, so that none can be relied upon. A small tissue.

small = example_of(picture)
slow = PLAN.model_copy(update={"epochs": 8, "steps": 5})
curves["dropout"] = {
    "0.2": curve(SPEC.model_copy(update={"dropout": 0.2}), slow, small)[0],
    "none": curve(plan=slow, data=small)[0],
}

# %%
# Beginning with something
# ------------------------
# Transfer: a UNet that has learnt another tissue starts far ahead. Self-supervision: the same UNet
# has only looked at tissues, with noise to be taken out, and nobody said what is a wall.

few = PLAN.model_copy(update={"epochs": 6, "steps": 4})
unlike = TrainingSet.of_images([example_of(membranes((144, 144), seed=9))], PLAN)
other = fit_network(SPEC, unlike, PLAN)
looked = pretrain(
    SPEC,
    [membranes((144, 144), seed=seed).as_image() for seed in range(10, 14)],
    PretrainOptions(pretrain_task="denoise", pretrain_steps=60),
    PLAN,
)
print(looked.message)
curves["transfer"] = {
    "from another tissue": curve(plan=few, start=WarmStart(other.network))[0],
    "from nothing": curve(plan=few)[0],
}
curves["self-supervision"] = {
    "pretrained": curve(plan=few, start=WarmStart(looked.network, keep_head=False))[0],
    "from nothing": curves["transfer"]["from nothing"],
}
assert curves["transfer"]["from another tissue"][0] > curves["transfer"]["from nothing"][0] + 0.1

# %%
# What each did here
# ------------------
# The mean of the curve says how soon, the end how well. Each trick was tried with one seed, so a
# gain counts only where it exceeds twice the spread of a difference of two trainings that differ in
# nothing but their seed; three trainings give that spread roughly. Other gains need more seeds.

for trick, pair in curves.items():
    if trick == "early stopping":
        continue  # what it saves is steps, see above
    (on, with_it), (off, without) = pair.items()
    n = min(len(with_it), len(without))
    gain = np.mean(with_it[:n]) - np.mean(without[:n])
    sure = abs(gain) > 2 * np.sqrt(2) * spread
    verdict = ("better" if gain > 0 else "worse here") if sure else "no judgement from one seed"
    print(
        f"{trick}: Dice {with_it[-1]:.3f} with {on}, {without[-1]:.3f} with {off}; "
        f"on average over the training {gain:+.3f}: {verdict}"
    )

# %%

figure, axes = plt.subplots(3, 4, figsize=(11, 7.6), layout="constrained")
for name, fall in falls.items():
    axes[0, 0].semilogy(range(1, len(fall) + 1), fall / fall[-1], label=name)
axes[0, 0].set(title="slope by layer", xlabel="layer", ylabel="as a part of the last")
axes[0, 0].legend(fontsize=7)
axes[2, 3].axis("off")
for axis, (trick, pair) in zip(axes.flat[1:-1], curves.items(), strict=True):
    for (name, values), style in zip(pair.items(), ("-o", "--s"), strict=True):
        axis.plot(range(1, len(values) + 1), values, style, ms=3, label=name)
    unit = "ten steps" if trick == "tied weights" else "epoch"
    axis.set(title=trick, xlabel=unit, ylabel="Dice held out", ylim=(0, 1))
    axis.legend(fontsize=7)
