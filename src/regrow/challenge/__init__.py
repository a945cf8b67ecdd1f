"""All that knows parameter-golf: facts, byte count, log lines, record folders, the audit of others' entries."""
