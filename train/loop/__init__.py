"""The training loop: what drives a method, on one device or many, and lets it be resumed."""
