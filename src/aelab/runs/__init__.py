"""Run folders: what one follows from, training into it, opening it, where jobs run."""
