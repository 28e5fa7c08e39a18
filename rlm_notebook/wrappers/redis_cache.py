"""The import path of `RedisCache` for users; it lives in `caches.redis`."""

from ..caches.redis import RedisCache

__all__ = ["RedisCache"]
