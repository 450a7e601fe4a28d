"""Revisions, reviews, and what persists between them."""
