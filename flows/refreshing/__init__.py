"""An event over time: its state, whether a refresh is due, refreshing it, the reviews of analysts."""
