"""The installation and its tokens; knows nothing of streams."""
