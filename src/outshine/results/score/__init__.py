"""Predictions that were made anywhere: how they are read, brought to the same rows, and measured as a study's are."""
