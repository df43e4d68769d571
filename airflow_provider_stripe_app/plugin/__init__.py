"""The API server's part: pages, install routes, token broker, keep-alive."""
