"""The adapters for environments with rigid-body physics: Brax, MJX and MuJoCo Playground."""
