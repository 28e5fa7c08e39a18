"""A `%%rlm` cell: its options, its run, and what is shown when it fails."""
