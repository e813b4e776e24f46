"""Tagging: categories for any picture from its trunk vector, calibrated, with abstention and evidence."""
