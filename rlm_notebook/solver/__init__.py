"""The algorithm: plan a node, solve its sub-tasks or call the model, join the results. The recursion exists once."""
