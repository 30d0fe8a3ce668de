"""`fit_network`: the training loop of every network that learns from patches."""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from napari_unetseg.core.annotation.train_options import Precision, TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, TrainingStep
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.inference.network_segmenter import (
    MEMORY_FORMAT,
    NetworkSegmenter,
    placed,
)
from napari_unetseg.core.nn.inference.runtime import (
    Choice,
    choose_device,
    computes_bfloat16,
    keep_freed_memory,
    mixed_precision,
    threads,
)
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.networks.output_heads import (
    count_outputs,
    crop_middle,
    probabilities,
    split_outputs,
)
from napari_unetseg.core.nn.training.augment import TrainingBatch, augment
from napari_unetseg.core.nn.training.losses import (
    guess_loss,
    maps_loss,
    segmentation_loss,
    teacher_loss,
)
from napari_unetseg.core.nn.training.patches import Judge, Judgement, Tally, dice_without_choice
from napari_unetseg.core.nn.training.prepare import Guess, patch_shape, prepare_training
from napari_unetseg.core.nn.training.schedule import Clock, Every, guess_share, learning_rate
from napari_unetseg.core.nn.training.transfer import (
    Average,
    keep_averages,
    restate_averages,
    set_frozen,
    transfer_weights,
)
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import StopEarly

FEWEST_STEPS = 20
"""Smallest number of batches in an epoch."""

_PREVIEW_SHARE = 0.04
_RESTATED_BATCHES = 16
_LARGEST_GRADIENT = 1.0
_PRETRAINED_SHARE = 0.1
_TAUGHT_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A trained network and its history.

    Parameters
    ----------
    spec, network
        The spec, and the network built from it, in evaluation mode and on the CPU.
    classes
        Names of the classes.
    values
        Value in a label layer of each class.
    n_channels, ndim
        Of the images.
    history
        A record for each step.
    judgement
        Scores on the validation set; None without one.
    dice_apart
        Dice on it of which each part is scored by the step that the other parts choose, see
        `dice_without_choice`; None where there are no parts, or nothing was chosen.
    precision
        ``"bfloat16"`` or ``"float32"``: which of them the training computed in.
    message
        A sentence about the device and the start of the training.
    decoder
        The decoder of the outputs after the foreground, when objects were learnt.
    unchanged
        Whether it is the network that was continued, unchanged, since no later one scored better.
    validations
        Number of validations of which it is the best, with that of the network it continued.
    """

    spec: ModelSpec
    network: nn.Module
    classes: tuple[str, ...]
    values: tuple[int, ...]
    n_channels: int
    ndim: int
    history: tuple[TrainingStep, ...]
    judgement: Judgement | None
    message: str
    decoder: DecoderSpec | None = None
    unchanged: bool = False
    validations: int = 0
    dice_apart: float | None = None
    precision: str = "float32"

    @property
    def seconds(self) -> float:
        """Duration of the training, in seconds."""
        return self.history[-1].seconds if self.history else 0.0

    def segmenter(self, *, device: str = "cpu", flips: bool = False) -> NetworkSegmenter:
        """Return a segmenter that predicts with this network."""
        return NetworkSegmenter(
            self.network,
            self.spec,
            self.classes,
            self.n_channels,
            self.ndim,
            device,
            flips,
            self.decoder,
        )

    def history_table(self) -> list[dict[str, Any]]:
        """Return the history as plain data, a dict for each step."""
        return [asdict(record) for record in self.history]


@dataclass(frozen=True, eq=False)
class WarmStart:
    """A network to continue from.

    Parameters
    ----------
    network
        From `build_network` with the same spec; not changed. Its last layer is replaced where the
        number of outputs differs, its first where the number of channels does.
    keep_head
        Whether its outputs mean the same; otherwise its last layer is replaced.
    keep_classes
        Whether its outputs of classes mean the same, even if the last layer is replaced otherwise.
    of_objects
        Whether it is a network of objects.
    keep_statistics
        Whether its running averages for normalisation are kept, see `keep_averages`. They are not
        where its first layer is replaced, after which they no longer apply.
    """

    network: nn.Module
    keep_head: bool = True
    keep_classes: bool = False
    of_objects: bool = False
    keep_statistics: bool = True


def fit_network(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
    *,
    start: WarmStart | None = None,
    guess: Guess | None = None,
    teacher: nn.Module | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> FittedNetwork:
    """Train a network on annotated images.

    Parameters
    ----------
    spec
        Which network.
    data
        Training set, and the validation set that selects the best step.
    options
        See `TrainOptions`.
    start
        A network to continue from.
    guess
        Probabilities to learn where nothing is annotated, with a weight that fades; see `distil`.
    teacher
        A network with the same inputs and outputs, which is not changed: its outputs on each patch
        are learnt beside the annotation. A narrow network learns more from a wide one in the same
        steps.
    callbacks
        Called at each step.

    Returns
    -------
    FittedNetwork
        The best network on the validation set, or the last without one.

    Raises
    ------
    InputError
        When the network to start from does not fit, or the loss is not finite.

    Notes
    -----
    AdamW on cross-entropy and Dice over the annotated pixels. With a number of epochs, the same
    seed gives the same network on the same machine; with a budget in minutes the result depends on
    the machine's speed.
    """
    choice = choose_device(options.device)
    keep_freed_memory()
    with (
        torch.random.fork_rng(devices=[]),
        threads(spare_core=options.spare_core),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.manual_seed(options.seed)
        training = Training(spec, data, options, choice, start=start, guess=guess, teacher=teacher)
        training.run(callbacks)
        return training.fitted()


class Training:
    """The state of a training: the network, its running average, and the best so far."""

    def __init__(
        self,
        spec: ModelSpec,
        data: TrainingSet,
        options: TrainOptions,
        choice: Choice,
        *,
        start: WarmStart | None,
        guess: Guess | None,
        teacher: nn.Module | None = None,
    ) -> None:
        options = options.with_rate(continues=start is not None and start.keep_statistics)
        self._spec, self._options, self._choice = spec, options, choice
        self._n_channels, self._ndim = data.n_channels, data.ndim
        self._annotation = data.annotations[0]
        self._decoder = options.decoder if self._annotation.objects is not None else None
        self._n_outputs = count_outputs(self._annotation.n_classes, self._decoder)
        # The network in training gets images that were shrunk once, in advance.
        inside: Any = spec.inside()
        network = build_network(
            inside, self._n_channels, self._n_outputs, self._ndim, seed=options.seed
        )
        self._starts = start is not None
        self._held_out = data.held_out_least, data.held_out_strokes
        transfer = None
        self._keeps = False
        if start is not None:
            transfer = transfer_weights(
                network,
                start.network,
                head=start.keep_head,
                classes=(start.of_objects, self._decoder is not None)
                if start.keep_classes
                else None,
            )
            self._keeps = start.keep_statistics and transfer.first
        shape = patch_shape(spec, data.images, options, network)
        self._network = placed(network, choice.device)
        self._teacher = None if teacher is None else placed(teacher, choice.device).eval()
        self._average = Average(self._network, copy.deepcopy(self._network), options.averaging)
        self._drawer, self._judge = prepare_training(
            spec, data, options, shape, guess, self._decoder
        )
        self._guesses, self._trust = guess is not None, 1.0 if guess is None else guess.trust
        self._optimiser = _optimiser(self._network, options, inside.known_weights())
        self._light = torch.Generator().manual_seed(options.seed)
        covering = self._drawer.n_pixels / (math.prod(shape.result) * options.batch)
        self._epoch_steps = options.steps or max(FEWEST_STEPS, math.ceil(covering))
        self._history: list[TrainingStep] = []
        self._best: tuple[Judgement, dict[str, torch.Tensor]] | None = None
        self._judged_at, self._best_at, self._without_better = 0, 0, 0
        self._validations: list[list[Tally]] = []
        lower = options.precision == "auto" and computes_bfloat16(choice.device)
        self._precision = "bfloat16" if lower else "float32"
        computed = choice.message + (" Trained in bfloat16." if lower else "")
        self._message = " ".join(
            filter(None, ("" if transfer is None else transfer.in_words, computed))
        )
        self._clock = Clock(options, self._epoch_steps)

    def run(self, callbacks: Callbacks) -> None:
        """Train until time, epochs or patience run out, or `StopEarly` is raised."""
        progress, watch, preview = callbacks.progress, callbacks.watch, callbacks.preview
        show = Every(self._options.preview_every, _PREVIEW_SHARE)
        if self._starts and self._judge:
            # The network continued from is a candidate too: more training never makes it worse.
            self._judge_now()
        try:
            progress(0.0, "training")
            while (fraction := self._clock.fraction(self._step)) < 1:
                record = self._learn(fraction)
                if watch is not None:
                    watch(record)
                if preview is not None and show.due():
                    with show.timed():
                        preview(self._segmenter())
                progress(min(record.fraction, 1.0), f"epoch {record.epoch}, loss {record.loss:.3f}")
                if 0 < self._options.patience <= self._without_better:
                    break
        except StopEarly:
            pass
        if self._judge and self._judged_at < self._step:
            self._judge_now()

    def fitted(self) -> FittedNetwork:
        """Return the best network so far.

        One that kept the averages of the network it continued gets those of its own images.
        """
        unchanged = self._starts and self._best is not None and not self._best_at
        best = self._average.network
        if self._best is not None:
            best.load_state_dict(self._best[1])
        if self._keeps and self._history and not unchanged:
            drawn = (self._drawer.draw(self._options.batch) for _ in range(_RESTATED_BATCHES))
            restate_averages(best, (batch.image.to(self._choice.device) for batch in drawn))
        network = self._whole(best.state_dict())
        kept = " Nothing later did better than that, so it is as it was." if unchanged else ""
        return FittedNetwork(
            self._spec,
            network.cpu().eval(),
            self._annotation.names,
            self._annotation.values,
            self._n_channels,
            self._ndim,
            tuple(self._history),
            self._best[0] if self._best is not None else None,
            self._message + kept,
            self._decoder,
            unchanged,
            len(self._validations),
            dice_without_choice(self._validations) if len(self._validations) > 1 else None,
            self._precision,
        )

    @property
    def _step(self) -> int:
        return len(self._history)

    def _learn(self, fraction: float) -> TrainingStep:
        """Take one optimisation step, and validate when it is due."""
        options, rate = self._options, learning_rate(fraction, self._options)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self._network.train()
        set_frozen(self._network, self._starts and self._step < options.freeze * self._epoch_steps)
        if self._keeps:
            keep_averages(self._network)
        batch = self._drawer.draw(options.batch, guess=self._guesses)
        batch = augment(batch, options, self._light).to(self._choice.device)
        image = batch.image.contiguous(memory_format=MEMORY_FORMAT[self._ndim])
        with mixed_precision(self._choice.device, options.precision):
            evidence = predict_middle(self._network, image, batch.target.shape[1:]).float()
            taught = self._taught(image, batch.target.shape[1:])
        loss = self._loss(evidence, batch, fraction)
        if taught is not None:
            learnt = teacher_loss(evidence, taught.float(), self._decoder)
            loss = (1 - _TAUGHT_SHARE) * loss + _TAUGHT_SHARE * learnt
        self._check(float(loss.detach()))
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        self._average.update()
        record = self._record(fraction, float(loss.detach()), rate)
        self._history.append(record)
        if self._judge and self._clock.judges(self._step):
            with self._clock.judging():
                self._judge_now()
        return self._history[-1]

    @torch.no_grad()
    def _taught(self, image: torch.Tensor, sides: Sequence[int]) -> torch.Tensor | None:
        return None if self._teacher is None else predict_middle(self._teacher, image, sides)

    def _loss(self, evidence: torch.Tensor, batch: TrainingBatch, fraction: float) -> torch.Tensor:
        classes, maps = split_outputs(evidence, self._decoder)
        loss = segmentation_loss(classes, batch.target, batch.weight, dice=self._options.dice)
        if batch.guess is not None:
            share = guess_share(fraction, self._trust)
            loss = (1 - share) * loss + share * guess_loss(classes, batch.guess)
        if maps is None or batch.maps is None:
            return loss
        return loss + self._options.maps * maps_loss(maps, batch.maps)

    def _check(self, loss: float) -> None:
        """End the training when the loss is not finite: with the best so far, if there is one."""
        if math.isfinite(loss):
            return
        self._message += (
            f" The loss is no longer a number after {self._step} steps: lower the learning rate, "
            f"which is {self._options.learning_rate:g}."
        )
        if self._best is None:
            raise InputError(self._message)
        self._judged_at = self._step
        raise StopEarly

    def _record(self, fraction: float, loss: float, rate: float) -> TrainingStep:
        epoch = self._step // self._epoch_steps + 1
        return TrainingStep(self._step + 1, epoch, self._clock.seconds, fraction, loss, rate)

    def _judge_now(self) -> None:
        """Validate the averaged network, and keep it if it is the best."""
        parts = validate_network(
            self._average.network,
            self._judge,
            self._choice.device,
            self._ndim,
            self._decoder,
            self._options.precision,
        )
        judgement = Tally.joined(parts).judgement()
        self._judged_at = self._step
        self._validations.append(parts)
        self._without_better += 1
        if self._best is None or judgement.rank > self._best[0].rank:
            self._without_better = 0
            self._best = judgement, copy.deepcopy(self._average.network.state_dict())
            self._best_at = self._step
        if self._history:
            self._history[-1] = replace(
                self._history[-1],
                seconds=self._clock.seconds,
                dice=judgement.dice,
                validation_loss=judgement.loss,
                held_out_least=self._held_out[0],
                held_out_strokes=self._held_out[1],
            )

    def _whole(self, weights: Mapping[str, torch.Tensor]) -> nn.Module:
        """Build the network for images at full size, with weights trained on shrunk ones."""
        network = build_network(self._spec, self._n_channels, self._n_outputs, self._ndim, seed=0)
        network.load_state_dict(weights)
        return network

    def _segmenter(self) -> NetworkSegmenter:
        network = self._whole(self._average.network.state_dict())
        names = self._annotation.names
        device = str(self._choice.device)
        return NetworkSegmenter(
            network,
            self._spec,
            names,
            self._n_channels,
            self._ndim,
            device,
            decoder=self._decoder,
        )


def predict_middle(network: nn.Module, image: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """Compute the evidence (N, outputs, *sides) of the middle of images (N, inputs, *spatial)."""
    offset: Any = network.offset
    return crop_middle(network(image), offset, image.shape[2:], sides)


def validate_network(
    network: nn.Module,
    judge: Judge,
    device: torch.device,
    ndim: int,
    decoder: DecoderSpec | None = None,
    precision: Precision = "float32",
) -> list[Tally]:
    """Score a network in evaluation mode on the windows of `judge`; return totals of each part."""
    tallies = [Tally(judge.n_classes, judge.foreground) for _ in range(judge.parts[-1] + 1)]
    window = iter(judge.parts)
    with torch.no_grad(), mixed_precision(device, precision):
        for image, target, maps, guess in judge.batches(4):
            batch = image.to(device).contiguous(memory_format=MEMORY_FORMAT[ndim])
            evidence = predict_middle(network, batch, target.shape[1:]).float()
            predicted = probabilities(evidence, decoder).cpu().numpy()
            classes, found = predicted[:, : judge.n_classes], predicted[:, judge.n_classes :]
            for k in range(len(target)):
                tally, one = tallies[next(window)], slice(k, k + 1)
                tally.add(classes[one], target[one])
                if maps is not None:
                    tally.add_maps(found[one], maps[one], target[one])
                if guess is not None:
                    tally.add_guess(classes[one], guess[one], target[one])
    return tallies


def _optimiser(
    network: nn.Module, options: TrainOptions, known: Collection[str]
) -> torch.optim.Optimizer:
    """Return AdamW with weight decay on filters, but not on offsets and scales.

    Each group has the share of the learning rate at which its weights learn: less for those whose
    names are in `known`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weights in network.named_parameters():
        decay = options.weight_decay if weights.ndim > 1 else 0.0
        share = _PRETRAINED_SHARE if name in known else 1.0
        groups.setdefault((decay, share), []).append(weights)
    return torch.optim.AdamW(
        [{"params": p, "weight_decay": d, "share": s} for (d, s), p in groups.items()],
        lr=options.learning_rate,
        # One pass over each array instead of eight.
        fused=next(network.parameters()).device.type in ("cpu", "cuda"),
    )
