"""Reading a script: its text, the layers it hides, the switches it was run with."""
