"""Checks that take longer than the tests do; see README.md."""
