"""`python -m rpojax`: the command, where its script is not on the path."""

from rpojax.cli import main

if __name__ == "__main__":
    main()
