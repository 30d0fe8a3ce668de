"""Process and estimate images larger than memory for `run`, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager

from napari_unetseg.cli.console import bar, say
from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.recipe import Batch, model_file
from napari_unetseg.core.streaming import ByBlocks, estimate, make_run_source


@contextmanager
def by_blocks(
    batch: Batch, memory: float, jobs: int, scheduler: str, *, resume: bool
) -> Iterator[ByBlocks]:
    """Make the function that processes images block by block, in `jobs` processes or a cluster.

    Raises
    ------
    InputError
        When the cluster cannot be reached.
    """
    if jobs == 1 and not scheduler:
        yield ByBlocks(memory, resume)
        return
    from napari_unetseg.core.streaming.cluster import Cluster, cluster

    step = batch.recipe.model
    model = None if step is None else model_file(step, batch.folder)
    each = allowed(memory) / 1e9 / (1 if scheduler else jobs)
    with cluster(scheduler, jobs) as client:
        yield ByBlocks(
            each, resume, lambda source: Cluster(client, source, model, trust=batch.trust)
        )


def print_costs(batch: Batch, memory: float) -> None:
    """Print the estimated cost of each image of a batch."""
    model = batch.model()
    for path in batch.inputs:
        with bar(path.name) as progress:
            image = make_run_source(batch, path).open()
            cost = estimate(batch.recipe, image, model=model, memory=memory, progress=progress)
        say(f"{path}: {cost}")


__all__ = ["by_blocks", "print_costs"]
