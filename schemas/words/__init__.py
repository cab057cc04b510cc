"""Text for people: the nearest correct word, and foreign text made safe to show.

Imports no other room. Begin with `nearest`.
"""
