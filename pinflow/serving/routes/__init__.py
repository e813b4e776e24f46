"""The routes, a module a topic: each has `router(services)`, and the app includes all of `ROUTERS`.

Belongs here: paths, bodies, status codes. Does not: how anything is found (`retrieval`) or kept (`state`).
"""
