"""Circuit Atlas: circuits of vision models as a graph one can query."""
