"""Entry point of `python -m outshine`, as torchrun starts it."""

from outshine.cli.main import main

if __name__ == "__main__":
    main()
