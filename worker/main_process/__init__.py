"""The main process of a worker: Celery's steps, its pool, and its messages of Redis."""
