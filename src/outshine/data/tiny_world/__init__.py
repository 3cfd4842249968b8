"""The synthetic world: facts, the language they are told in, the corpus that models read, the tasks. No torch."""
