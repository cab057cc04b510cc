"""`emberline verify`: whether the data of a deployment is whole, while workers run or without any.

`verify` reads each topic once and asks the checks; a check is a module of pure functions, which
yield a `Finding` for each fault: what is wrong, where, and what to do. Nothing is changed, except
by `rebuild`. Imports the rooms before it. Begin with `verify`.
"""
