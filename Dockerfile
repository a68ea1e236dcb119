# Two images from one file:
#   docker build --target server -t opjudge-server .
#   docker build --target worker -t opjudge-worker .
# BASE is any Debian-like image (yours, from your own registry, where there is no internet); what it
# has already (Python with venv, bubblewrap, g++, a filled /opt/opjudge) is not fetched.
# TORCH_INDEX_URL picks the package index that holds the torch build for your device, if not the
# default one; PIP_INDEX_URL your own index for everything.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS base
RUN python3 -c 'import ensurepip' 2>/dev/null \
 || { apt-get update \
   && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
   && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/opjudge \
 && useradd --create-home --home-dir /data --uid 10001 opjudge
ENV PATH=/opt/opjudge/bin:$PATH \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    OPJUDGE_DATA_DIR=/data
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY judge judge
COPY sandbox sandbox
COPY leaderboard leaderboard
COPY problems problems

FROM base AS server
ARG PIP_INDEX_URL
RUN pip install --constraint constraints.txt '.[server]' 'psycopg[binary]' && rm -rf /src/*
USER opjudge
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["opjudge", "server", "--host", "0.0.0.0", "--port", "8000"]

# The worker makes user namespaces for the sandboxes inside, which an engine's default profiles
# forbid: run it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined. It needs
# no capability.
FROM base AS worker
ARG TORCH_INDEX_URL=
ARG PIP_INDEX_URL
RUN command -v bwrap >/dev/null && command -v g++ >/dev/null \
 || { apt-get update \
   && apt-get install -y --no-install-recommends bubblewrap g++ \
   && rm -rf /var/lib/apt/lists/*; }
RUN pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$(grep '^torch==' constraints.txt)" \
 && pip install --constraint constraints.txt '.[worker]' && rm -rf /src/*
USER opjudge
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
CMD ["opjudge", "worker", "--device", "cpu"]
