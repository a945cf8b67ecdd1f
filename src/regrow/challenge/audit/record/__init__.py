"""A submission's record: what it claims, what its logs show, and the checks that compare both."""
