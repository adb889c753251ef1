"""One trained agent: act, evaluate, export, render."""
