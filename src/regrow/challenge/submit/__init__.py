"""From several seeds' runs to a parameter-golf record folder: rules, statistics, and a script that stands alone."""
