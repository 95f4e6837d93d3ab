"""A campaign that tries to break the program: kills, damaged files, and machines that lack something."""
