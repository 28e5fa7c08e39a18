"""Where runs are kept: implementations of the `Journal` port."""
