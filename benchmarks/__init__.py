"""Measuring: this project's operations against the published ones, side by side in one process."""
