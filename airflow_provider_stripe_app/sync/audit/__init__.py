"""Comparing tables with Stripe, and mending what differs (EQUALITY §9, DESIGN §6).

:func:`.run.run_audit` is the way in.
"""
