"""Training: methods, networks, data, losses and recipes, in PyTorch."""
