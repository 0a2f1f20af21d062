"""Checkpoints of the authors' repositories, read as data and turned into ours."""
