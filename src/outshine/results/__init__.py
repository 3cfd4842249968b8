"""Results of a study as frames, and what they say."""
