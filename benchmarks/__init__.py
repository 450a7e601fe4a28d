"""Larger claims, each by a command anyone can run; they write the tables in docs/."""
