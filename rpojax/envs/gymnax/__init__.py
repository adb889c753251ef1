"""The adapter for gymnax, and for any object with its interface."""
