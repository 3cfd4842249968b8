"""The command line, one module a command or a few related ones. Heavy imports happen inside commands."""
