# The producer: the `producer` command with reports, without torch.
FROM python:3.11-slim

RUN useradd --create-home producer
WORKDIR /app
COPY pyproject.toml constraints.txt README.md ./
COPY common common
COPY producer producer
COPY worker worker
RUN pip install --no-cache-dir --constraint constraints.txt ".[report]"
USER producer
ENTRYPOINT ["producer"]
