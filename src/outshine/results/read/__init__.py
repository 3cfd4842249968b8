"""Reading of results from artefacts, one module a table."""
