"""Measurements: run from a checkout, never installed, nothing of it timed in a test."""
