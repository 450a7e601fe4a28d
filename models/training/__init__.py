"""From chips to weights."""
