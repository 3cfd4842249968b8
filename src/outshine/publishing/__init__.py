"""A finished model or study as a repository of the hub: its files, its card, the upload."""
