"""Data sets: what an input is, readers by kind of file, splits, preparation."""
