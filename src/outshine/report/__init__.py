"""The report: sentences, tables, figures and one self-contained page."""
