"""A limited child process in which somebody else's code may run."""
