"""What can be synced, as data."""
