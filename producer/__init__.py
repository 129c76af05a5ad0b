"""The `producer` command. It never imports torch, so it runs on a laptop."""
