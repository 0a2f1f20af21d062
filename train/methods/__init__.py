"""Training methods: the losses and the update rule, one file each."""
