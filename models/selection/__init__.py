"""Which checkpoint maps a scene."""
