"""Witnesses: numeric and symbolic differentiation, and the battery that compares them with the rules."""
