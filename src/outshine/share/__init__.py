"""Results for others: experiment trackers and repositories of the hub."""
