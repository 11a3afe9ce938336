"""`python -m dmlteach` is the `dmlteach` command."""

import sys

COMMAND_LINE = ("rich", "shellingham", "typer")


def main() -> None:
    """The command line; where its packages are missing, one sentence says how to get them."""
    try:
        from dmlteach import cli
    except ModuleNotFoundError as error:
        if error.name not in COMMAND_LINE:
            raise
        sys.exit(f"error: the command line needs {error.name}: pip install 'dmlteach[cli]'")
    cli.main()


if __name__ == "__main__":
    main()
