"""The zoo, the contract of a model, and a file a kind of code."""
