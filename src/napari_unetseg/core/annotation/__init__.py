"""Annotations as training data: the training set and its split, class balance, options."""
