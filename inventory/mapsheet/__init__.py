"""The map to hand over: one sheet of paper, A4 or A3."""
