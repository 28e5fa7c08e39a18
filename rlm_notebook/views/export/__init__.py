"""A run's answer as a document: Markdown, HTML, LaTeX and Word. `content` is what the writers share."""
