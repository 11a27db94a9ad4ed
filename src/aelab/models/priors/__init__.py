"""Priors: what new codes are drawn from. `zoo.PRIORS` and `zoo.FITTED_PRIORS` list them."""
