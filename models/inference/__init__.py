"""From pixels to probability."""
