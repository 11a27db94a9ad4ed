"""Runs in, one page out: the figures of a run or a study, and the page that shows them."""
