"""The worker's HTTP interface, on Faust's web server: `routes/` has one module for each resource,
and a new HTTP call goes there.

The other modules are shared by all routes: the check of keys (`guard.py`), sending an answer
(`answer.py`, `stream.py`), the access log (`access_log.py`), errors as problems (`refusals.py`,
`answer_problems.py`), and the OpenAPI description (`openapi.py`, `shapes.py`).

Imports all rooms before it. Begin with `server`, which lists the routes.
"""
