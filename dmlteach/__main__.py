"""`python -m dmlteach` is the `dmlteach` command."""

from dmlteach.cli import main

main()
