"""The audit of a dataset: form that gives the label away, and splits that overlap."""
