"""What every room may use: config, errors, files, progress, processes, results."""
