"""Clips for training: chosen frames at a chosen size with their masks."""
