"""What the main process of a worker does: Celery's steps, its pool, and its messages of Redis."""
