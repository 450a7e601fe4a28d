"""Where a network looked, and which bands matter."""
