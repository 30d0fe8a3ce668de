"""Segmenters that run torch networks, and views into trained networks."""
