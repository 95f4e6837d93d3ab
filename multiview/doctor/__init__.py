"""`multiview doctor`: one page of what matters on this machine.

The checks run in groups. Each group is a process of its own, so that a check that hangs or crashes
costs only its own lines. `examine.py` starts the groups, `groups.py` says what belongs to which.
"""
