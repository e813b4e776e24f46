"""Vectors -> maps: layouts, clusters, neighbour graphs, sprite sheets, drawings.

Not here: where the vectors come from (learning) and searching them (retrieval).
"""
