"""Process blocks in other processes, on this machine or others, by dask.distributed.

All workers must see the same files: the image and the run folder. The model is not read from
there: it is sent once to every worker, also to those that join later, and identified by its hash.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_unetseg.core.atomic_files import temporary_folder, writing
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.recipe import parse_recipe, recipe_to_yaml
from napari_unetseg.core.streaming.block_work import Work
from napari_unetseg.core.streaming.run_folder import Arrays, RunFolder
from napari_unetseg.core.streaming.run_source import RunSource
from napari_unetseg.core.streaming.runners import Task

TIMEOUT = "10s"
"""Time to wait for a scheduler."""

_RETRIES = 3
_WAITING = 3
"""Blocks submitted per worker thread, so that no thread is idle."""

_MODELS: dict[str, Path] = {}
"""In a worker: the model files that were sent, by hash."""


class Cluster:
    """Process blocks in the workers of a cluster; the blocks of a worker that dies are repeated.

    Parameters
    ----------
    client
        A `distributed.Client`.
    source
        The image, with a path that all workers can open.
    model
        The file of the recipe's model, if it has one.
    trust
        Whether TorchScript, which can execute code, may be run.
    """

    def __init__(
        self, client: Any, source: RunSource, model: Path | None = None, *, trust: bool = False
    ) -> None:
        self._client, self._source, self._trust = client, source, trust
        self._model, self._suffix = "", ""
        if model is not None:
            data = model.read_bytes()
            self._model, self._suffix = hashlib.sha256(data).hexdigest(), model.suffix
            client.register_plugin(_shipped(self._model, self._suffix, data))

    def run(self, work: Work, stage: str, tasks: Iterable[Task]) -> Iterator[Task]:
        """See `napari_unetseg.core.streaming.runners.Runner.run`."""
        from distributed import KilledWorker, as_completed

        spec = self._spec(work)
        waiting, numbers = iter(tasks), {}

        def submitted() -> Iterator[Any]:
            for number, given in waiting:
                future = self._client.submit(
                    do_block, spec, stage, number, given, pure=False, retries=_RETRIES
                )
                numbers[future.key] = number
                yield future

        handed_out = submitted()
        first = [future for _, future in zip(range(self._at_once()), handed_out, strict=False)]
        running = as_completed(first, with_results=True)
        try:
            for future, results in running:
                yield numbers.pop(future.key), results
                running.update([another for another in [next(handed_out, None)] if another])
        except KilledWorker as error:
            raise InputError(
                f"The workers that processed a block of the stage {stage!r} died {_RETRIES} times, "
                "probably because memory ran out. Allow less memory for a block, and resume."
            ) from error
        finally:
            self._client.cancel(list(running.futures))

    def _at_once(self) -> int:
        threads = self._client.nthreads().values()
        return max(_WAITING * sum(threads), 1)

    def _spec(self, work: Work) -> str:
        """Write the settings for the workers into the run folder, and return the file's path."""
        content = {
            "source": asdict(self._source),
            "recipe": recipe_to_yaml(work.recipe),
            "known": work.prepared.parameters,
            "sides": work.sides,
            "model": self._model,
            "trust": self._trust,
        }
        text = json.dumps(content, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = f"work-{digest}.json"
        path = work.folder.path.resolve() / name
        if not path.exists():
            work.folder.put(name, lambda draft: draft.write_text(text, encoding="utf-8"))
        return str(path)


@contextmanager
def cluster(address: str = "", jobs: int = 1) -> Iterator[Any]:
    """Connect to a cluster, or start one of local processes.

    Parameters
    ----------
    address
        Address of a scheduler, such as ``tcp://host:8786``; empty for local processes.
    jobs
        Number of local processes, if there is no address.

    Raises
    ------
    InputError
        When distributed is not installed, or no scheduler with workers answers at the address.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise InputError(
            "Processing in several processes needs dask.distributed, which is not installed. "
            "Install it with: pip install 'napari-unetseg[cluster]'"
        ) from error
    if not address:
        with (
            temporary_folder() as scratch,
            distributed.LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=None,
                silence_logs=logging.ERROR,
                local_directory=str(scratch),
            ) as local,
            distributed.Client(local) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(address, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No scheduler answers at {address}. Start one with: dask scheduler"
        ) from error
    with client:
        if not client.nthreads():
            raise InputError(
                f"The scheduler at {address} has no workers. Start some with: dask worker {address}"
            )
        yield client


def do_block(spec: str, stage: str, number: int, given: Arrays) -> Arrays:
    """Run one stage on one block in a worker."""
    return _opened(spec).do(stage, number, given)


def keep_model(digest: str, suffix: str, data: bytes, place: str) -> None:
    """Save a model that was sent to this worker."""
    path = Path(place) / f"model-{digest}{suffix}"
    with writing(path) as draft:
        draft.write_bytes(data)
    _MODELS[digest] = path


@lru_cache(maxsize=1)
def _opened(spec: str) -> Work:
    """Open the work of a run, once for all its blocks."""
    path = Path(spec)
    content = json.loads(path.read_text(encoding="utf-8"))
    recipe = parse_recipe(content["recipe"].encode())
    model = None
    if content["model"]:
        model = _model(content["model"], recipe.normalisation, content["trust"])
    image, sides = RunSource(**content["source"]).open(), tuple(content["sides"])
    return Work.of(recipe, image, content["known"], model, RunFolder(path.parent), sides)


@lru_cache(maxsize=1)
def _model(digest: str, normalisation: NormalisationSpec | None, trust: bool) -> TrainedModel:
    scaling = normalisation or NormalisationSpec()
    return open_model(_MODELS[digest], trust=trust, normalisation=scaling)


def _shipped(digest: str, suffix: str, data: bytes) -> Any:
    """Return a plugin that sends the model to all present and future workers."""
    from distributed import WorkerPlugin

    class ShippedModel(WorkerPlugin):  # type: ignore[misc]
        """Save the model when a worker starts."""

        name = f"napari-unetseg-{digest}"

        def setup(self, worker: Any) -> None:
            from napari_unetseg.core.streaming.cluster import keep_model

            keep_model(digest, suffix, data, worker.local_directory)

    return ShippedModel()


__all__ = ["Cluster", "cluster", "do_block", "keep_model"]
