"""Executors: stages computed by this process, by several on this machine, or by a Ray cluster."""
