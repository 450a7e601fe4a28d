"""An event over time: its state, and what analysts decided about it."""
