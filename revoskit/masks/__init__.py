"""Masks as COCO run lengths, and packed eight frames to a byte."""
