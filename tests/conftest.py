"""Fixtures of all tests."""

from __future__ import annotations

import os

from jaxtyping import install_import_hook

from remote_stores import bucket, place, remote_place, s3, s3_server  # noqa: F401

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy models: more threads only wait for each other
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # tests fork; the tokenizers warn about it

# shapes are checked in tests: must come before the first import of these modules
install_import_hook(
    [
        "outshine.filters",
        "outshine.losses",
        "outshine.learn.activations",
        "outshine.learn.classifier",
        "outshine.learn.lora",
        "outshine.learn.nf4",
        "outshine.probes",
        "outshine.learn.batches",
        "outshine.learn.gradient",
    ],
    "beartype.beartype",
)
