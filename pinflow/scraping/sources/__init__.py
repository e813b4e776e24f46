"""One adapter a source kind: where its pins are listed and how its pictures come into the spool."""
