"""Filters that choose which training rows a student sees, one idea a file."""

from outshine.learn.filters.base import Filter, Filtered, filters

__all__ = ["Filter", "Filtered", "filters"]
