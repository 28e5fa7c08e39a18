"""Views of a tree and of a model's texts, as text, HTML and tables: pure functions, without engine and notebook."""
