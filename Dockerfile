# The gateway alone: hash-pinned wheels in a virtual environment, copied onto the same slim base. Nothing in it is
# writable by the service and nothing needs a shell; run it with a read-only root (the chart does).
# A release pins the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python3 -m venv /opt/gateway
COPY requirements/image.txt requirements/image.txt
RUN /opt/gateway/bin/pip install --no-cache-dir --quiet --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
# Unchecked hash-based byte code: no clock of the build gets into it, and a read-only root needs none written.
RUN /opt/gateway/bin/pip install --no-cache-dir --quiet --no-deps --no-build-isolation . \
 && /opt/gateway/bin/pip uninstall --quiet --yes setuptools pip \
 && find /opt/gateway -depth -type d -name __pycache__ -exec rm -rf {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/gateway/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cancel-gateway" \
      org.opencontainers.image.description="Gets an order cancelled, safely, on any venue." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["cancel-gateway", "healthcheck"]
ENTRYPOINT ["cancel-gateway"]
CMD ["serve", "--config", "/etc/cancel-gateway/config.toml"]
