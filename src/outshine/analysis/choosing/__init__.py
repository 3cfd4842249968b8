"""Choosing a method or a checkpoint without ground truth: what label-free rules and a few trusted labels lose to an oracle.

Everything here looks back on a finished study with the ground truth of val and test. Nothing of it reaches a training.
"""
