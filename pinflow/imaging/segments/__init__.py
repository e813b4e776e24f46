"""Picture -> segments: the things that are shown, each with a box and a mask.

Which segmenters there are depends on what is installed; saliency and GrabCut always are.
"""
