"""Mutated files, opened as users open them: ``make fuzz``."""
