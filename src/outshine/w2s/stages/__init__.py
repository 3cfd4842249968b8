"""The stages of an experiment: what is computed, each a frozen value whose key is a hash of all it depends on."""
