"""Small stand-ins for packages that a bundled script may have to do without: what regrow uses of them, no more.

A bundle puts them at the very end of the search path, under the packages' own names, so that an installed package is
always preferred. They give the same bytes; tests hold each to its original.
"""
