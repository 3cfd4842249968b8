"""Methods: what turns weak labels into a student."""

from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import LayerMethod, Method, methods

__all__ = ["Lab", "LayerMethod", "Method", "Wiring", "methods"]
