"""What a run says while it runs: console, progress, trackers."""
