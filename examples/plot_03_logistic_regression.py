r"""
3. Logistic regression: a line between painted pixels
=====================================================

A few strokes say of some pixels what they are: :math:`y = 1` for an object, 0 for background.
The model weighs what is known of a pixel and squeezes the sum through a sigmoid,

.. math:: \hat y = f(w^T x + w_0), \qquad f(a) = \frac{e^a}{1 + e^a} ,

so that :math:`\hat y` is a probability. What is made small is the surprise at the strokes, the
*binary cross-entropy*,

.. math:: E = \sum_n -y \log \hat y - (1 - y) \log (1 - \hat y) .

There is no closed solution, but only one valley; Newton's method is at its bottom in a few steps.
The pixels with :math:`\hat y = ½` lie on a line: the decision boundary.

**In the window:** open a sample, add a Labels layer (the tag button), paint a stroke of 1 on the
background and one of 2 on an object. In *Train* choose *logistic* and tick *Live*: it is fitted
again at every stroke. *Train* keeps the model, *Predict* runs it.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.compute.newton import Problem, mean_cross_entropy, minimise
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec, mixed_inputs
from napari_unetseg.core.nn.training.fit_pixels import fit_pixels
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import StopEarly

# %%
# Strokes
# -------
# On a retina with thin vessels, from scikit-image: 1 on the ground, 2 on a vessel. Two features of
# each pixel are enough, and can be drawn: the brightness right there and that of the surroundings,
# Gaussians of 1 and of 8 pixels.

retina = data.microaneurysms()
strokes = np.zeros(retina.shape, np.uint8)
strokes[27:30, 20:80] = 1
strokes[68:71, 10:40] = 1
strokes[95:98, 55:90] = 1
for column, row in ((10, 51), (20, 49), (30, 50), (40, 50), (60, 53), (80, 53)):
    strokes[row - 1 : row + 2, column - 1 : column + 2] = 2

spec = LogisticSpec(
    sigmas="1, 8",
    intensity=False,
    gaussian=True,
    gradient=False,
    laplacian=False,
    hessian=False,
    structure=False,
)
image = Image(retina, "YX")
normalisation = fit_normalisation(image, NormalisationSpec())
example = AnnotatedImage(retina[None], Annotation.of(strokes), normalisation)
model = fit_pixels(spec, [example])
(layer,) = model.network.dense
weights, bias = layer.weight[0].numpy().astype(float), float(layer.bias[0])
print(f"evidence of a vessel = {weights[0]:+.1f} here {weights[1]:+.1f} around {bias:+.1f}")
# Dark here and bright around: nobody told it that only the difference counts.
assert weights[0] < -10 < 10 < weights[1]

# %%
# The cost, by hand
# -----------------

features = mixed_inputs(normalisation.apply(retina[None]), spec).whole()
painted = strokes > 0
x = features[:, painted].T.astype(float)
y = (strokes[painted] == 2).astype(float)
evidence = x @ weights + bias
probability = 1 / (1 + np.exp(-evidence))
by_hand = np.mean(-y * np.log(probability) - (1 - y) * np.log(1 - probability))
problem = Problem(x, y[:, None], np.full(len(y), 1 / len(y)), 0.0)
theta = np.append(weights, bias)[None]
print(f"cross-entropy of {len(y)} painted pixels: {by_hand:.4f} nats a pixel")
assert np.isclose(by_hand, mean_cross_entropy(problem, theta), rtol=1e-5)
assert np.allclose(
    model.predict_proba(normalisation.apply(retina[None]), origin=(0, 0), shape=retina.shape)[1][
        painted
    ],
    probability,
    atol=1e-4,
)

# %%
# Who knows only how often each class was painted is surprised by the entropy of that; labels that
# are shuffled among the pixels teach no more.

share = y.mean()
blind = -share * np.log(share) - (1 - share) * np.log(1 - share)
shuffled = Problem(x, np.random.default_rng(0).permutation(y)[:, None], problem.weights, 1e-6)
nothing = mean_cross_entropy(shuffled, minimise(shuffled, np.zeros((1, 3))))
print(f"knowing the shares alone: {blind:.4f}; fitted to shuffled labels: {nothing:.4f}")
assert by_hand < 0.5 * blind
assert 0.97 * blind < nothing <= blind

# %%
# Newton's steps
# --------------
# Beside those of plain gradient descent, which follows the slope and knows no curvature. Both add
# a small price on large weights, without which classes that part cleanly would drive the weights
# to infinity.

standard = Problem((x - x.mean(0)) / x.std(0), problem.targets, problem.weights, 0.01)


def cost(theta):
    """Return what is made small: the cross-entropy, and half the penalty of the squared weights."""
    return mean_cross_entropy(standard, theta) + 0.5 * standard.penalty * (theta[:, :-1] ** 2).sum()


def newton(most):
    """Return the weights after so many of Newton's steps."""
    taken = iter(range(most + 1))

    def progress(fraction, message=""):
        if next(taken, most) == most and fraction < 1:
            raise StopEarly

    return minimise(standard, np.zeros((1, 3)), progress=progress)


by_newton = [cost(newton(steps)) for steps in range(10)]
design = np.column_stack([standard.inputs, np.ones(len(y))])
theta, by_descent = np.zeros(3), []
for _ in range(300):
    by_descent.append(cost(theta[None]))
    error = 1 / (1 + np.exp(-design @ theta)) - y
    theta -= 2.0 * (design.T @ error / len(y) + standard.penalty * theta * (1, 1, 0))
least = by_newton[-1]
steps_newton = next(k for k, value in enumerate(by_newton) if value < least * 1.001)
steps_descent = next((k for k, v in enumerate(by_descent) if v < least * 1.001), len(by_descent))
print(f"steps to within 0.1 % of the least: Newton {steps_newton}, descent {steps_descent}")
assert steps_newton < 10 < steps_descent

# %%

proba = model.proba_of(features)[1]
figure, axes = plt.subplots(2, 2, figsize=(8.4, 7.4), layout="constrained")
axes[0, 0].imshow(retina, cmap="gray")
axes[0, 0].imshow(np.ma.masked_equal(strokes, 0), cmap="bwr", interpolation="nearest")
axes[0, 0].set_title("strokes: ground (blue), vessel (red)", fontsize=10)
axes[0, 1].imshow(retina, cmap="gray")
axes[0, 1].contour(proba, [0.5], colors="yellow", linewidths=1.5)
axes[0, 1].set_title("where the probability is ½", fontsize=10)
for axis in axes[0]:
    axis.set_axis_off()
plane = axes[1, 0]
plane.plot(*x[y == 0].T, ".", ms=3, label="ground")
plane.plot(*x[y == 1].T, ".", ms=3, color="C3", label="vessel")
low, high = x[:, 1].min(), x[:, 1].max()
plane.plot([-(bias + weights[1] * v) / weights[0] for v in (low, high)], [low, high], "k", lw=2)
plane.set(xlabel="brightness here (Gaussian, 1 px)", ylabel="around (Gaussian, 8 px)")
plane.set_title("the decision boundary is a line", fontsize=10)
plane.legend()
curve = axes[1, 1]
curve.semilogy(np.maximum(np.array(by_descent) - least, 1e-9), label="gradient descent")
curve.semilogy(np.maximum(np.array(by_newton) - least, 1e-9), "o-", label="Newton")
curve.set(xlabel="step", ylabel="cost above the least", xlim=(-1, 60), ylim=(1e-8, 1))
curve.set_title("one valley, two ways down", fontsize=10)
curve.legend()
