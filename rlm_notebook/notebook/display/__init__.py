"""What a notebook shows of a run, of a file, and of typed values."""
