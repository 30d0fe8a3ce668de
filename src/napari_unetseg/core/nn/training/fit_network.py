"""`fit_network`: the one training loop, for every network that learns from patches."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, TrainingStep
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.inference.network_segmenter import MEMORY_FORMAT, NetworkSegmenter
from napari_unetseg.core.nn.inference.runtime import (
    Choice,
    choose_device,
    keep_freed_memory,
    mixed_precision,
    threads,
)
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.networks.output_heads import (
    count_outputs,
    middle,
    parted,
    probabilities,
)
from napari_unetseg.core.nn.training.augment import TrainingBatch, augment
from napari_unetseg.core.nn.training.losses import guess_loss, maps_loss, segmentation_loss
from napari_unetseg.core.nn.training.patches import Judge, Judgement, Tally
from napari_unetseg.core.nn.training.prepare import Guess, patch_shape, prepared
from napari_unetseg.core.nn.training.schedule import Clock, Every, guess_share, learning_rate
from napari_unetseg.core.nn.training.transfer import Average, keep_averages, set_frozen, transferred
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import StopEarly

FEWEST_STEPS = 20
"""Least number of batches in an epoch."""

_PREVIEW_SHARE = 0.2
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A trained network and how it came about.

    Parameters
    ----------
    spec, network
        The network, in evaluation mode and on the CPU, and what it was built from.
    classes
        Names of the classes.
    values
        Value in a label layer of each class.
    n_channels, ndim
        Of the images.
    history
        A record for each step.
    judgement
        On what was held out; None when nothing was.
    message
        A sentence about what it ran on.
    decoder
        What the outputs after the foreground mean, when objects were learnt.
    unchanged
        Whether it is the network that was continued, as it was: nothing later did better.
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

    @property
    def seconds(self) -> float:
        """How long the training took."""
        return self.history[-1].seconds if self.history else 0.0

    def segmenter(self, *, device: str = "cpu", flips: bool = False) -> NetworkSegmenter:
        """Return what predicts."""
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
        As `build_network` makes it of the same spec; not changed. Where it has another number of
        outputs, its last layer is replaced, and of channels its first.
    keep_head
        Whether its outputs mean the same; its last layer is replaced otherwise.
    keep_statistics
        Whether the averages by which it normalises stay as they are, see `keep_averages`; not
        where its first layer is replaced, after which they mean nothing.
    """

    network: nn.Module
    keep_head: bool = True
    keep_statistics: bool = True


def fit_network(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
    *,
    start: WarmStart | None = None,
    guess: Guess | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> FittedNetwork:
    """Train a network on annotated images.

    Parameters
    ----------
    spec
        Which network.
    data
        What is learnt, and what is held out to find the best moment.
    options
        How; see `TrainOptions`.
    start
        A network to continue from.
    guess
        Probabilities to learn where nothing is annotated, with a weight that fades; see `distil`.
    callbacks
        Told and asked on the way.

    Returns
    -------
    FittedNetwork
        The best network by what was held out, or the last when nothing was.

    Raises
    ------
    InputError
        When the network does not fit, or the loss is no longer a number.

    Notes
    -----
    AdamW on cross-entropy and Dice over the annotated pixels. With a number of epochs, the same
    seed gives the same network on the same machine; within minutes it depends on the machine.
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
        training = Training(spec, data, options, choice, start=start, guess=guess)
        training.run(callbacks)
        return training.fitted()


class Training:
    """The state of one training: a network that learns, its average, and the best so far."""

    def __init__(
        self,
        spec: ModelSpec,
        data: TrainingSet,
        options: TrainOptions,
        choice: Choice,
        *,
        start: WarmStart | None,
        guess: Guess | None,
    ) -> None:
        self._spec, self._options, self._choice = spec, options, choice
        self._n_channels, self._ndim = data.n_channels, data.ndim
        self._annotation = data.annotations[0]
        self._decoder = options.decoder if self._annotation.objects is not None else None
        self._n_outputs = count_outputs(self._annotation.n_classes, self._decoder)
        # What learns sees images that are shrunk once and for all.
        inside: Any = spec.inside()
        network = build_network(
            inside, self._n_channels, self._n_outputs, self._ndim, seed=options.seed
        )
        self._starts = start is not None
        taken = None
        self._keeps = False
        if start is not None:
            taken = transferred(network, start.network, head=start.keep_head)
            self._keeps = start.keep_statistics and taken.first
        shape = patch_shape(spec, data.images, options, network)
        layout: Any = {"memory_format": MEMORY_FORMAT[self._ndim]}
        self._network = network.to(choice.device, **layout)
        self._average = Average(self._network, copy.deepcopy(self._network), options.averaging)
        self._drawer, self._judge = prepared(spec, data, options, shape, guess, self._decoder)
        self._guesses, self._trust = guess is not None, 1.0 if guess is None else guess.trust
        self._optimiser = _optimiser(self._network, options)
        self._light = torch.Generator().manual_seed(options.seed)
        covering = self._drawer.n_pixels / (math.prod(shape.result) * options.batch)
        self._epoch_steps = options.steps or max(FEWEST_STEPS, math.ceil(covering))
        self._history: list[TrainingStep] = []
        self._best: tuple[Judgement, dict[str, torch.Tensor]] | None = None
        self._judged_at, self._best_at, self._without_better = 0, 0, 0
        self._message = " ".join(
            filter(None, ("" if taken is None else taken.in_words, choice.message))
        )
        self._clock = Clock(options, self._epoch_steps)

    def run(self, callbacks: Callbacks) -> None:
        """Train until time, epochs or patience run out, or somebody says so."""
        progress, watch, preview = callbacks.progress, callbacks.watch, callbacks.preview
        show = Every(self._options.preview_every, _PREVIEW_SHARE)
        if self._starts and self._judge:
            # What is continued is a candidate too: training on never makes it worse.
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
        """Return the best network so far."""
        network = self._whole(self._average.network.state_dict())
        if self._best is not None:
            network.load_state_dict(self._best[1])
        unchanged = self._starts and self._best is not None and not self._best_at
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
        )

    @property
    def _step(self) -> int:
        return len(self._history)

    def _learn(self, fraction: float) -> TrainingStep:
        """Take one step and, when it is time, judge."""
        options, rate = self._options, learning_rate(fraction, self._options)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._network.train()
        set_frozen(self._network, self._starts and self._step < options.freeze * self._epoch_steps)
        if self._keeps:
            keep_averages(self._network)
        batch = self._drawer.draw(options.batch, guess=self._guesses)
        batch = augment(batch, options, self._light).to(self._choice.device)
        image = batch.image.contiguous(memory_format=MEMORY_FORMAT[self._ndim])
        with mixed_precision(self._choice.device):
            evidence = said_of_middle(self._network, image, batch.target.shape[1:]).float()
        loss = self._loss(evidence, batch, fraction)
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

    def _loss(self, evidence: torch.Tensor, batch: TrainingBatch, fraction: float) -> torch.Tensor:
        classes, maps = parted(evidence, self._decoder)
        loss = segmentation_loss(classes, batch.target, batch.weight, dice=self._options.dice)
        if batch.guess is not None:
            share = guess_share(fraction, self._trust)
            loss = (1 - share) * loss + share * guess_loss(classes, batch.guess)
        if maps is None or batch.maps is None:
            return loss
        return loss + self._options.maps * maps_loss(maps, batch.maps)

    def _check(self, loss: float) -> None:
        """End the training when the loss is no number: with the best so far, if there is one."""
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
        """Judge the average on what is held out, and keep it if it is the best."""
        judgement = judged(
            self._average.network, self._judge, self._choice.device, self._ndim, self._decoder
        )
        self._judged_at = self._step
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
            )

    def _whole(self, weights: Mapping[str, torch.Tensor]) -> nn.Module:
        """Return the network that sees images as they are, with weights that see them shrunk."""
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


def said_of_middle(network: nn.Module, image: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """Return the evidence (N, outputs, *sides) of the middle of images (N, inputs, *spatial)."""
    offset: Any = network.offset
    return middle(network(image), offset, image.shape[2:], sides)


def judged(
    network: nn.Module,
    judge: Judge,
    device: torch.device,
    ndim: int,
    decoder: DecoderSpec | None = None,
) -> Judgement:
    """Return how good a network in evaluation mode is on what `judge` holds."""
    tally = Tally(judge.n_classes, judge.foreground)
    with torch.no_grad(), mixed_precision(device):
        for image, target, maps, guess in judge.batches(4):
            laid = image.to(device).contiguous(memory_format=MEMORY_FORMAT[ndim])
            evidence = said_of_middle(network, laid, target.shape[1:]).float()
            said = probabilities(evidence, decoder).cpu().numpy()
            classes, others = said[:, : judge.n_classes], said[:, judge.n_classes :]
            tally.add(classes, target)
            if maps is not None:
                tally.add_maps(others, maps, target)
            if guess is not None:
                tally.add_guess(classes, guess, target)
    return tally.judgement()


def _optimiser(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Return AdamW that pulls filters towards zero, but no offsets and no scales."""
    weights = list(network.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate)
