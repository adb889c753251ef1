"""The settings of a run: how each is declared, checked, translated and recorded."""
