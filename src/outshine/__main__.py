"""`python -m outshine`, as torchrun starts it: the `outshine` command."""

from outshine.cli.main import main

if __name__ == "__main__":
    main()
