"""Derivatives of graphs as graphs: backward and forward mode."""
