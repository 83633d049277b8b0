"""Measuring: this project's operations against plain ones, side by side in one process."""
