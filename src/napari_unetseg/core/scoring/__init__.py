"""Scores of labels against the truth: pixels, objects, boundaries and partitions."""
