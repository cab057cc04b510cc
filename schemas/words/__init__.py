"""Text for people: the word that may have been meant, and text of others made safe to show.

Imports no other room. Begin with `nearest`.
"""
