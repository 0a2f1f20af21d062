"""Measures of translated images. Each number's name says which network it came from."""
