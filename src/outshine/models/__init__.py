"""Pretrained models: which there are, how they are loaded, tuned and read."""

import os

# torch keeps what it made for each shape of a bf16 matrix product on a CPU, 1,024 of them by default: hundreds of
# megabytes where batches are of many lengths, and no time saved. It reads this at the first such product.
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
