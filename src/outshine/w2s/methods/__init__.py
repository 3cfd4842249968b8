"""Methods: what turns weak labels into a student."""

from outshine.w2s.methods.base import Lab, Method, methods

__all__ = ["Lab", "Method", "methods"]
