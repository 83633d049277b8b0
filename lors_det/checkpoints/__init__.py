"""Checkpoint files: published names, conversion there and back, folding, and configs that are stored with them."""
