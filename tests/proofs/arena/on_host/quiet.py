"""After where.py: says whether a process of this host still holds the lease."""

print("busy" if is_here(lease()) else "quiet")
