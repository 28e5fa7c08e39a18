"""How a notebook displays runs, HTML exports and typed values."""
