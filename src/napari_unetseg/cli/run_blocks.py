"""What `run` does with images larger than memory: who works on their blocks, and at what cost."""

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
    """Give what does the images of a batch block by block, in as many processes as asked.

    Raises
    ------
    InputError
        When there is no such cluster.
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


def say_costs(batch: Batch, memory: float) -> None:
    """Print what each image of a batch will cost."""
    model = batch.model()
    for path in batch.inputs:
        with bar(path.name) as progress:
            image = make_run_source(batch, path).open()
            cost = estimate(batch.recipe, image, model=model, memory=memory, progress=progress)
        say(f"{path}: {cost}")


__all__ = ["by_blocks", "say_costs"]
