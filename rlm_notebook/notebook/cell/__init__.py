"""A `%%rlm` cell: its options, its run and its errors."""
