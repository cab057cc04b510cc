"""The routes: one module for each resource. Its `ROUTES` give path, scope and answers of each
route.

`users.py` lists the routes about users, whose handlers are modules beside it (`user.py`,
`export_ids.py`, `export_segment.py`, `users_csv.py`). `audience_request.py` and `export_request.py`
read requests. `internal.py` has the routes between workers. Code that all routes share is one
folder up. A new route goes into a module here that `agents/web/server.py` lists. Begin with
`explain`, the shortest.
"""
