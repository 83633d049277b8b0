"""Checkpoints: what is written into them, how they are read, and what they may be loaded into."""
