"""Many runs at once: a task over the rows of a table, and comparisons of ways to solve it."""
