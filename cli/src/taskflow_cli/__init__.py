"""The `taskflow` command: the local stack, tasks from the shell, the database, generated files."""
