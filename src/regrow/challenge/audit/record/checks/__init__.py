"""Questions put to a submission's record: its claims, its README, its logs, its sizes."""
