"""From imagery and polygons to checkpoints, and what checkpoints are worth."""
