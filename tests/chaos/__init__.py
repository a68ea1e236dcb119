"""Everything may die at any moment; nothing is lost, doubled or stuck."""
