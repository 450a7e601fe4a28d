"""The words everyone speaks: events, areas, windows, bands, cards, runs. No network, no torch, no
Earth Engine.
"""
