"""Models: each file makes one kind of thing answer as a `Model`. Heavy packages are imported when first called."""
