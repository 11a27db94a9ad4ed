"""A study: a table of rows, trained on one scale, compared, and what follows."""
