"""Training: annotations, what is held out, the ladder's rungs, versions and comparisons."""
