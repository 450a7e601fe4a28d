"""The files an inventory is written to."""
