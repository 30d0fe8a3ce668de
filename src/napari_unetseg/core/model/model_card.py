"""Define the model card, which describes a model to its users."""

from napari_unetseg.core.options import Options, option


class ModelCard(Options):
    """Describe a model to the people who receive its file."""

    description: str = option(
        "", "Description", "The objects or classes that the model segments, and the kind of images."
    )
    authors: str = option("", "Authors", "Names of the authors, separated by commas.")
    licence: str = option(
        "",
        "Licence",
        "SPDX identifier of the licence under which others may use the model; empty if not stated.",
        suggestions=("CC-BY-4.0", "CC0-1.0", "MIT", "BSD-3-Clause"),
        pattern=r"^[A-Za-z0-9.+-]{0,64}$",
    )

    @property
    def author_names(self) -> tuple[str, ...]:
        """The names of the authors."""
        return tuple(name.strip() for name in self.authors.split(",") if name.strip())
