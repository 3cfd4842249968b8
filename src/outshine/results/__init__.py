"""Results of a study as frames, and the conclusions drawn from them."""
