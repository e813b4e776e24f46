"""Explaining: which part of a picture made a tag likely, and which parts of two pictures match."""
