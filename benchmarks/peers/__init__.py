"""The same simulated Stripe, data and changes for this provider and for other loaders of Stripe.

``python -m benchmarks.peers`` runs it (see :mod:`benchmarks.peers.__main__`); ``docs/peers.md`` has
the tables and says how to read them.
"""
