"""Imagery onto one grid: Earth Engine, archives of files and the simulated Earth answer the same
question.
"""
