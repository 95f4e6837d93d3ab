"""A campaign that tries to break the program: kills, damaged files and poor machines."""
