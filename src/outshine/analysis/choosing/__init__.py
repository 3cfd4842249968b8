"""Choosing a method or a checkpoint without ground truth: what rules and a few trusted labels lose to an oracle.

All of it looks back on a finished study with the ground truth of val and test. Nothing of it reaches a training.
"""
