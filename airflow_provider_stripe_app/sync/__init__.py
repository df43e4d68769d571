"""One run: plan, extract, stage, commit, resume."""
