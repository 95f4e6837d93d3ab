"""`python -m multiview` is the command `multiview`, also where that is not on the path."""

from multiview.cli import main

if __name__ == "__main__":
    main()
