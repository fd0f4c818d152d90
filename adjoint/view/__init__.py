"""What a person reads of a graph: text and LaTeX."""
