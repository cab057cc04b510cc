"""The page: HTML, ES modules, CSS, texts, vendored files. docs/page.md explains it.

This room has data only, and imports nothing. `agents/web/assets.py` reads it. Begin with `app.js`.
"""
