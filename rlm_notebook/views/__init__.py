"""What is shown of a tree and of texts: pure, and known to neither engine nor notebook."""
