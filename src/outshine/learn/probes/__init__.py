"""Probes on activations of the pretrained strong model, one idea a file."""

from outshine.learn.probes.base import FittedProbe, Labelled, Predicted, Probe, probes

__all__ = ["FittedProbe", "Labelled", "Predicted", "Probe", "probes"]
