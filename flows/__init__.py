"""The story: the only package that knows all the wings."""
