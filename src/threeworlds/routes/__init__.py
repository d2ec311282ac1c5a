"""The three routes, found by name. A route wires parts and states its objective; routes never import each other."""
