"""Runs on workers of any number of machines: Celery, with Redis as its broker.

``broker`` is how it is reached, ``settings`` is what launcher and workers agree on, ``launcher`` is named by
``dagster.yaml``, and ``worker`` is what a worker process loads. Nothing else imports this package, so that
Celery stays optional.
"""
