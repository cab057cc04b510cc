"""The routes: a module a resource, whose `ROUTES` say where, who may call, what comes back.

`users.py` lists the routes about users, whose handlers are modules beside it (`user.py`,
`export_ids.py`, `export_segment.py`, `users_csv.py`). `audience_request.py` and
`export_request.py` read what is asked. `internal.py` is what workers ask of each other. What
all routes share lies one folder up. A new route goes into a module here that
`agents/web/server.py` names. Begin with `explain`, the shortest.
"""
