"""Weak-to-strong experiments: their stages, methods and studies, and how a study is planned and computed."""
