"""Networks: from inputs to features, from codes to outputs. `zoo.NETWORKS` lists them."""
