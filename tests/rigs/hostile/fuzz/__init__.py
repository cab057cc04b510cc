"""Fuzz targets, one for each reader of bytes from outside, and the child process that runs them.

`targets.py` lists them; `run.py` runs one; `damage.py` makes the inputs.
"""
