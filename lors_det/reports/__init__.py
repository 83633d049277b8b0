"""What models and runs are, in numbers, words and pictures."""
