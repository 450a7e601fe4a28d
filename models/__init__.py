"""Networks, checkpoints, training, prediction, and the choice between checkpoints by MMD."""
