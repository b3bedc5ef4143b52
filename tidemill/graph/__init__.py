"""The asset graph, and how a request says which part of it is meant."""
