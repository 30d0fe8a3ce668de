"""Networks, their training and their prediction: the only packages that import torch."""
