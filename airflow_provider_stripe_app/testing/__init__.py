"""A simulated Stripe, public so that users can test their DAGs against it."""
