"""Commands that use the program from outside: `python -m tools --help` lists them."""
