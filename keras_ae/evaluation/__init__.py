"""From a trained run directory to a report."""
