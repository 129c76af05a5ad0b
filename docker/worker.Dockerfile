# A worker: one model-holding process for each GPU the container is given.
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04

# g++ and the Python headers: FlexAttention is compiled on the host it runs on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv python3-dev g++ \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home worker
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY pyproject.toml constraints.txt README.md ./
COPY common common
COPY producer producer
COPY worker worker
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir --constraint constraints.txt torch==2.13.0 '.[worker,flower]'
USER worker
CMD ["celery", "-A", "worker", "worker", "--loglevel=INFO", "--without-gossip", "--without-mingle"]
