"""Write the methods paragraph of a recipe, from its options alone."""

from importlib.metadata import version

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.measure import MeasureOptions
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import (
    CellStep,
    MeasurementStep,
    ModelStep,
    ThresholdStep,
)
from napari_unetseg.core.threshold.threshold_options import ThresholdOptions

_METHODS = {
    "otsu": "Otsu's method (Otsu 1979)",
    "li": "the minimum cross-entropy method (Li and Tam 1998)",
    "triangle": "the triangle method (Zack et al. 1977)",
    "yen": "Yen's method (Yen et al. 1995)",
    "isodata": "the ISODATA method (Ridler and Calvard 1978)",
    "minimum": "the minimum method (Prewitt and Mendelsohn 1966)",
    "mean": "the mean of the intensities",
}
_ROBUST = {
    "auto": "leaving out pixels brighter than the background, darker, or both, whichever kind of "
    "objects the image was found to have",
    "both": "leaving out pixels brighter or darker than the background",
    "bright": "leaving out pixels brighter than the background",
    "dark": "leaving out pixels darker than the background",
    "none": "using all pixels",
}
_CHOSEN = {
    "polynomial": "a polynomial of the pixel's position, of an order up to 8",
    "smooth": "a polynomial of the pixel's position of order {order} with a penalty on its third "
    "derivatives",
    "auto": "a polynomial of the pixel's position, of an order up to 8, or of order {order} with a "
    "penalty on its third derivatives",
}
_SURFACE_OF = {
    "plane": "of each plane",
    "stack": "common to all planes",
    "volume": "of each volume, changing along z,",
}
_LINKS = {
    "auto": "in stacks from one plane to the next",
    "planes": "from one plane to the next",
    "time": "from one time point to the next",
    "both": "from one plane to the next and from one time point to the next",
}
_FIRST = {"bright": "above", "dark": "at or below"}


def methods_paragraph(
    recipe: Recipe, model: TrainedModel | None = None, cell_model: TrainedModel | None = None
) -> str:
    """Return a recipe as a paragraph for the methods section of a paper.

    Parameters
    ----------
    recipe
        The steps and their options; the source of every number in the text.
    model
        The recipe's model, to describe it by more than the hash of its file.
    cell_model
        That of the cells.
    """
    recipe = recipe.for_model(model)
    sentences = [
        f"Images were processed with napari-unetseg {version('napari-unetseg')}.",
        *([f"The channel {recipe.image.channel} was segmented."] if recipe.image.channel else []),
        *(_background(recipe.background) if recipe.background else []),
        *(_threshold(recipe.threshold) if recipe.threshold else []),
        *(_model(recipe.model, recipe, model) if recipe.model else []),
        *(_cells(recipe.cells, recipe, cell_model) if recipe.cells else []),
        *(_measurement(recipe.measurement, recipe) if recipe.measurement else []),
    ]
    return " ".join(sentences)


def _background(options: BackgroundOptions) -> list[str]:
    name = options.terms.strip().lower()
    if name in _CHOSEN:
        order = sum(options.candidates()[-1].powers[-1])
        terms = (
            f"{_CHOSEN[name].format(order=order)}, the simplest that predicted background it was "
            "not fitted to within two standard errors of the best,"
        )
    elif options.terms == "lecture":
        terms = "a polynomial of the pixel's position with the terms 1, x, y and y²"
    else:
        named = options.terms.strip()
        kind = "list" if "," in named else "order"
        terms = (
            f"a polynomial of the pixel's position with the terms {named}"
            if kind == "list"
            else f"a {named} polynomial of the pixel's position"
        )
    out = {"subtract": "subtracted", "divide": "divided out"}[options.mode]
    return [
        f"The background {_SURFACE_OF[options.per]} was modelled as {terms} and fitted by least "
        f"squares, {_ROBUST[options.robust]}; it was {out}.",
        *_coloured(options.channel),
    ]


def _coloured(channel: str) -> list[str]:
    return [] if channel == "luminance" else [f"The {channel} of colour images was used."]


def _threshold(step: ThresholdStep) -> list[str]:
    smoothed = (
        f"Images were smoothed with a Gaussian filter (standard deviation {step.sigma:g} pixels). "
        if step.sigma
        else ""
    )
    return [*_coloured(step.channel), f"{smoothed}{_levels(step)}", *_cleaned(step)]


def _levels(step: ThresholdStep) -> str:
    """Return the sentence on the pixels that were segmented."""
    kind = "Objects" if step.result == "objects" else "The foreground"
    were = "were" if step.result == "objects" else "was"
    side, each = _FIRST[step.objects], "plane" if step.per == "plane" else "stack"
    start = f"{kind} {were} segmented as pixels"
    beyond = "brighter" if step.objects == "bright" else "darker"
    if step.method == "manual" or (step.values and step.method not in ("multiotsu", "hysteresis")):
        level = step.values[0] if step.values else step.value
        return f"{start} {side} an intensity of {level:g}."
    if step.method == "sauvola":
        return (
            f"{start} {beyond} than the local threshold of Sauvola and Pietikäinen (2000) in a "
            f"window of {step.window} pixels, with k = {step.k:g}."
        )
    if step.method == "gaussian":
        return (
            f"{start} {beyond} than a Gaussian-weighted local mean in a window of {step.window} "
            f"pixels by more than {step.offset:g}."
        )
    if step.method == "multiotsu":
        levels = (
            f"the levels {', '.join(f'{level:g}' for level in step.values)}"
            if step.values
            else f"the multilevel method of Otsu (Liao et al. 2001), for each {each}"
        )
        return f"Pixels were divided into {step.classes} classes of intensity by {levels}."
    if step.method == "hysteresis":
        low, high = _hysteresis(step)
        levels = (
            f"the levels {low:g} and {high:g}"
            if low != high
            else f"two levels found by Otsu's method for three classes in each {each}"
        )
        return (
            f"{kind} {were} segmented by hysteresis thresholding with {levels}: pixels beyond the "
            "first level that are connected to pixels beyond the second."
        )
    return f"{start} {side} the level found for each {each} by {_METHODS[step.method]}."


def _hysteresis(step: ThresholdStep) -> tuple[float, float]:
    if step.values:
        return step.values[0], step.values[1]
    return min(step.value, step.high), max(step.value, step.high)


def _cleaned(step: ThresholdStep) -> list[str]:
    done = []
    if step.fill_holes:
        done.append("Holes were filled.")
    if step.min_size > 1:
        done.append(f"Objects of fewer than {step.min_size:,} pixels were removed.")
    if step.clear_border:
        done.append("Objects cut off by the border of the image were removed.")
    if step.split:
        done.append(
            "Touching objects were divided by a watershed of the distance to the background, where "
            f"the notch between them was lower than the smaller one by {step.split_depth:g} of its "
            "height."
        )
    return done + (_linked(step, step.per == "stack") if step.result == "objects" else [])


def _linked(options: ThresholdOptions | DecodeOptions, deep: bool) -> list[str]:
    """Return the sentence on linking; `deep` where objects go through stacks already."""
    if options.link == "none" or (deep and options.link in ("auto", "planes")):
        return []
    gap = f", over gaps of up to {options.link_gap}" if options.link_gap else ""
    moving = options.link_by == "movement" and options.link in ("time", "both")
    lines = []
    if not moving or options.link == "both":
        where = _LINKS["planes" if moving else options.link]
        lines.append(
            f"Objects were linked {where} one to one, by the greatest total intersection over "
            f"union, if it was at least {options.link_iou:g}{gap}."
        )
    if moving:
        far = (
            f"{options.link_distance:g} pixels"
            if options.link_distance
            else "three times the median movement or one median diameter"
        )
        born = (
            "; a new object next to it was taken for the second daughter of a division, if both "
            "were smaller than 0.8 of the mother"
            if options.link_divisions
            else ""
        )
        lines.append(
            "Objects were followed from one time to the next with laptrack (linear assignment, "
            f"Jaqaman et al. 2008), by the least total of squared distances of their centres, up "
            f"to {far}{gap}{born}."
        )
    return lines


def _model(step: ModelStep, recipe: Recipe, model: TrainedModel | None) -> list[str]:
    what = {
        "classes": "The class of each pixel was predicted",
        "objects": "Objects were segmented",
        "auto": "Objects or classes were segmented",
        "probabilities": "The probability of each class was predicted for each pixel",
    }[step.what]
    named = "a trained model" if model is None else _named(model)
    flips = ", averaged over all mirror images (test-time augmentation)" if step.flips else ""
    sentences = [
        f"{what} with {named} (SHA-256 of its file {step.sha256}), tile by tile with overlap"
        f"{flips}."
    ]
    sentences += _sized(step, model)
    if model is not None:
        sentences += _scaled(model.normalisation)
    deep = model is not None and model.ndim == 3
    asked = step.orientations
    if not deep and (
        asked == "three" or (asked == "auto" and model is not None and model.decoder is not None)
    ):
        deep = True
        sentences += [
            "In stacks, the predictions of planes in three orthogonal orientations were averaged."
        ]
    if step.what == "objects":
        sentences += _objects(recipe, model, deep)
    return sentences


def _sized(step: ModelStep, model: TrainedModel | None) -> list[str]:
    """Return the sentence on the size of the image in the prediction."""
    if step.diameter:
        of = f", of {model.diameter:.3g} pixels," if model is not None and model.diameter else ""
        return [
            f"The image was scaled so that objects of {step.diameter:g} pixels had the diameter"
            f"{of} of the objects in the model's training images."
        ]
    if step.rescale:
        return ["The image was scaled to the pixel size of the model's training images."]
    if step.auto_diameter:
        return [
            "The image was scaled so that the prediction of its centre was the most plausible, and "
            "that its objects had the diameter of the objects in the model's training images."
        ]
    return []


def _named(model: TrainedModel) -> str:
    spec = model.spec
    rung = RUNGS.get(spec.kind)
    kind = f"{spec.kind} model" if rung is None else rung.title
    citation = f"{rung.citation}; " if rung is not None and rung.citation else ""
    size = f"{model.n_parameters:,} parameters" if model.state else "from another program"
    shape = f", {spec.size_in_words}" if spec.size_in_words else ""
    classes = ", ".join(model.classes)
    return f"the {kind} “{model.name}” ({citation}{size}{shape}; classes {classes})"


def _scaled(scaling: NormalisationSpec) -> list[str]:
    of = "channel" if scaling.per == "channel" else "image"
    scalings = {
        "percentile": f"so that the percentiles {scaling.low:g} and {scaling.high:g} of each {of} "
        "became 0 and 1",
        "mean-std": f"to mean 0 and standard deviation 1 of each {of}",
    }
    return (
        [f"Intensities were scaled before {scalings[scaling.method]}."]
        if scaling.method in scalings
        else []
    )


def _objects(recipe: Recipe, model: TrainedModel | None, deep: bool) -> list[str]:
    options = recipe.objects or DecodeOptions()
    if model is not None:
        options = recipe.decoding(model)
    learnt = model is not None and model.decoder is not None
    split = options.split
    if split == "auto" and model is not None:
        split = "learnt" if learnt else "shape"
    divided = {
        "auto": "divided by the method of the model",
        "learnt": "divided by a watershed of the object maps that the network predicts",
        "shape": "divided by a watershed of the distance to the background",
        "probability": "divided by a watershed of the probability",
        "none": "connected components of the foreground",
    }[split]
    unknown = model is None and "split_depth" not in options.model_fields_set
    depth = "" if split == "none" or unknown else f" at passes deeper than {options.split_depth:g}"
    seeds = (
        f" and with seeds of a height of at least {options.seed_height:g}"
        if options.seed_height and split in ("auto", "learnt", "probability")
        else ""
    )
    done = [
        f"Pixels with a probability of at least {options.foreground:g} were foreground; objects "
        f"were {divided}{depth}{seeds}."
    ]
    if options.fill_holes:
        done.append("Holes were filled.")
    if options.min_size > 1:
        done.append(f"Objects of fewer than {options.min_size:,} pixels were removed.")
    if options.min_score:
        done.append(
            "Objects whose mean probability times the height of their peak was under "
            f"{options.min_score:g} were removed."
        )
    return done + _linked(options, deep)


def _cells(step: CellStep, recipe: Recipe, model: TrainedModel | None) -> list[str]:
    """Return the sentences on the cells of the objects, which are nuclei."""
    if step.method == "grow":
        return [
            "Cells were grown from the objects, which are nuclei, by a distance of "
            f"{step.distance:g}; the cytoplasm is the cell without the nucleus."
        ]
    what = "Cells" if step.method == "objects" else "The foreground of cells"
    found = recipe.cell_recipe
    where = f" in the channel {step.channel}" if step.channel else ""
    verb = "were" if step.method == "objects" else "was"
    sentences = [f"{what}{where} {verb} found as follows."]
    if found is not None:
        sentences += _background(found.background) if found.background else []
        sentences += _threshold(found.threshold) if found.threshold else []
        sentences += _model(found.model, found, model) if found.model else []
    meet = {
        "middle": "in the middle between them",
        "bright": "along bright lines of the channel",
        "dark": "along dark gaps of the channel",
    }[step.boundary]
    if step.method == "mask":
        sentences.append(
            f"This foreground was divided among the nuclei by a seeded watershed, {meet}."
        )
    else:
        together = (
            "all nuclei of a cell were taken together"
            if step.nucleus == "all"
            else "of several nuclei the largest was measured"
        )
        sentences.append(
            "A nucleus was assigned to the cell that holds most of it, if at least "
            f"{step.overlap:g} of its pixels lie in it; {together}."
        )
    if step.without_nucleus == "remove":
        sentences.append("Cells without a nucleus were removed.")
    return [*sentences, "The cytoplasm is the cell without its nuclei."]


def _measurement(step: MeasurementStep, recipe: Recipe) -> list[str]:
    of = "object" if recipe.makes_objects else "class"
    of = "nucleus, cytoplasm and cell" if recipe.cells else of
    what = ["size", "position", "the ellipse of the same second moments", *_shapes(step)]
    source = {
        "image": "intensities of the image as recorded",
        "flattened": "intensities of the background-corrected image",
        "none": "",
    }[step.intensities]
    median = " (their median included)" if step.median and source else ""
    listed = [*what, *([f"{source}{median}"] if source else [])]
    each = " in each plane" if step.per == "plane" else ""
    return [f"For every {of}{each}, {', '.join(listed[:-1])} and {listed[-1]} were measured."]


def _shapes(step: MeasureOptions) -> list[str]:
    shapes = []
    if step.outline:
        shapes.append("the outline or surface by Crofton's formula")
    if step.hull:
        shapes.append("the convex hull and Feret diameters")
    if step.skeleton:
        spurs = f" without spurs up to {step.spurs:g}" if step.spurs else ""
        shapes.append(f"the skeleton{spurs}")
    return shapes


__all__ = ["methods_paragraph"]
