"""`python -m taskflow_cli` is `taskflow`."""

from taskflow_cli.main import main

main()
