"""The web app: HTTP API and pages over releases. The only room that knows the web framework.

Belongs here: routes, status codes, limits, pages. Does not: how anything is found (`retrieval`).
"""
