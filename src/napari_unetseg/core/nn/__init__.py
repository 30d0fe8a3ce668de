"""The only rooms that import torch: networks, their training and their prediction."""
