"""What a person says about a model."""

from napari_unetseg.core.options import Options, option


class ModelCard(Options):
    """What a person says about a model: for those who get the file."""

    description: str = option("", "Description", "What the model finds, and in which images.")
    authors: str = option("", "Authors", "Who made it: names, separated by commas.")
    licence: str = option(
        "",
        "Licence",
        "The SPDX name of the terms under which others may use the model; nothing when unsaid.",
        suggestions=("CC-BY-4.0", "CC0-1.0", "MIT", "BSD-3-Clause"),
        pattern=r"^[A-Za-z0-9.+-]{0,64}$",
    )

    @property
    def author_names(self) -> tuple[str, ...]:
        """The authors, one by one."""
        return tuple(name.strip() for name in self.authors.split(",") if name.strip())
