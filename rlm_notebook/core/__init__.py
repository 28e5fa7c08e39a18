"""The pure centre: facts, the tree that they fold to, plans, keys and limits.

Nothing in here may know asyncio, a file, a socket, a clock or another layer of this package but `exceptions`.
"""
