"""The algorithm; `train` is the file to read first."""
