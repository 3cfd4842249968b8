"""The audit of a dataset: does anything but its meaning give the label away, and do its splits overlap?"""
