"""The producer: the `producer` command. Light enough for a laptop: it never imports torch."""
