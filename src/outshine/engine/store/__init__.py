"""The store: artefacts by key, in a folder or on shared storage, and what is kept beside them."""
