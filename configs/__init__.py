"""The words everyone speaks: events, areas, windows, bands, checkpoints, runs. No network, no
torch, no Earth Engine.
"""
