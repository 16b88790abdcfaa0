"""Evidence for the checker, found with its own code: wherever that asks for a decision, this searches for one."""
