"""Influencing factors: distances to rivers and faults, coded rock, from local files; terrain and
indices are `gee.derive`'s.
"""
