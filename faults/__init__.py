"""Faults injected into real processes of a small study, counted. See docs/reliability.md."""
