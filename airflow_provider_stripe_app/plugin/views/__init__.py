"""What each page shows, as plain data made by pure functions."""
