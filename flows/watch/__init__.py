"""Watching the USGS feed."""
