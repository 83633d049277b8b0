"""Configs: read, checked, completed from the data, and found by name."""
