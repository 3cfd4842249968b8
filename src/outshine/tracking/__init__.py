"""Curves and scores handed to experiment trackers: wandb, tensorboard, trackio. Nothing here can change a result."""
