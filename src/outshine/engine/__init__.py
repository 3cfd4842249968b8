"""The engine: stages and their keys, the store, executors, registries, errors. It knows no machine learning."""
