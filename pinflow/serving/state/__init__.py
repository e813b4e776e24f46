"""What people leave behind in the app: boards, searches, saved queries, judgements; and its backups.

Belongs here: the database and all that is read from it or written to it. Does not: HTTP (the routes), and
anything about the pictures themselves, which releases hold; here a pin is its collection and its id.
"""
