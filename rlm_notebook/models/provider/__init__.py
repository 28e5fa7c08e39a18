"""What providers share: connections, streams of events, replies while they are written, rate limits, errors."""
