"""One architecture, one file: the paper's table in the docstring, the layers below it, top to
bottom.
"""
