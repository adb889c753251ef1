"""What users compile: the algorithm of `core` for one agent, mapped over many in blocks."""
