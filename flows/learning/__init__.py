"""From imagery and polygons to cards, and what cards are worth."""
