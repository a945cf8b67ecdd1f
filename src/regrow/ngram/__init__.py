"""The n-gram memory: exact counts, modified Kneser-Ney, full distributions, and the forms it is stored in."""
