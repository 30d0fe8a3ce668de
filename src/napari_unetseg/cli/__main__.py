"""Run ``python -m napari_unetseg.cli``."""

from napari_unetseg.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
