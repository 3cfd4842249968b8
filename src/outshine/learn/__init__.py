"""Training: models, adapters, batches, the loop, losses, probes and filters."""
