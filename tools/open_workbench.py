"""Open napari with the workbench on one of the plugin's samples.

Usage: python tools/open_workbench.py [SAMPLE]
"""

import sys

import napari

PLUGIN = "napari-unetseg"


def main(sample: str = "neurons") -> None:
    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, sample)
    viewer.window.add_plugin_dock_widget(PLUGIN, "Workbench")
    napari.run()


if __name__ == "__main__":
    main(*sys.argv[1:2])
