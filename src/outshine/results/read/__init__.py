"""From artefacts to rows: the one place beside the stages that opens a study's results."""
