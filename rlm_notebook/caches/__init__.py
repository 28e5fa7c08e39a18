"""Where replies are kept by key: in memory, in Redis. Each is a `Cache` of `ports`."""
