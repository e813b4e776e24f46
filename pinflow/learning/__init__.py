"""Learning: from curated pictures to vectors. Trunks, splits, heads, tuning, and the numbers on them."""
