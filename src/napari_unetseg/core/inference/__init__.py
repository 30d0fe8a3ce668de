"""Inference: segmenters, tiles, and prediction of classes and objects from whole images."""
