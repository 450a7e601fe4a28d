"""What landslides may reach: roads, buildings, people."""
