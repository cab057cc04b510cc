"""The worker's HTTP interface, on Faust's web server: a module a resource.

Imports all rooms before it. Begin with `server`, which lists the routes.
"""
