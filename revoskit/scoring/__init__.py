"""Predictions against the truth: the measures, the two protocols, and the result as people publish it."""
