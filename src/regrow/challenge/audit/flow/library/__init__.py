"""What calls into torch, numpy and Python's own library mean to the walk."""
