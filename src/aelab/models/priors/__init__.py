"""Priors: what new codes are drawn from. `zoo.PRIORS` lists them."""
