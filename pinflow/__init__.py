"""pinflow turns a list of words into a searchable, explained, always-fresh visual collection."""

__version__ = "0.1.0"
