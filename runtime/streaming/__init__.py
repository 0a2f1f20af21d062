"""Streams: from a source through a model to sinks, in threads that outlive what breaks."""
