"""The worker's HTTP interface, on Faust's web server: `routes/` has a module a resource.

Beside it is what all routes share: who is let in (`guard.py`), how an answer is sent
(`answer.py`, `stream.py`) and written down (`access_log.py`), which errors are which problems
(`refusals.py`, `answer_problems.py`), and the description of all (`openapi.py`, `shapes.py`).

Imports all rooms before it. Begin with `server`, which lists the routes.
"""
