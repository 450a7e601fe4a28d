"""From a probability map to landslides with attributes."""
