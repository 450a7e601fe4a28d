"""The study: which checkpoint to trust where, found by leaving one domain out."""
