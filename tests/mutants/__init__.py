"""Mistakes put into the source on purpose, one at a time: do the tests see them?"""
