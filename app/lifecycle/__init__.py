"""Starting, being ready, ending."""
