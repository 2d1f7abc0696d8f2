# The service as an image: see docs/deploying.md. `make image-check` does and runs what is said here, where no
# container engine is at hand.

# A digest makes it the same one each time: python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /app
COPY requirements.txt requirements-otel.txt ./
# pip stays outside. Where the files have hashes, it checks them.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install --no-cache-dir --only-binary :all: -r requirements.txt -r requirements-otel.txt
COPY lakebase_api lakebase_api
COPY wsgi.py gunicorn.conf.py tables.toml LICENSE ./
# Nothing can be compiled later, in a file system that is read-only. What is copied has the modes of the clone,
# which may leave others out.
RUN python -m compileall -q lakebase_api wsgi.py && chmod -R u=rwX,go=rX /app

FROM ${BASE}
ARG BASE
ARG VERSION
ARG REVISION
ARG CREATED
ARG SOURCE
LABEL org.opencontainers.image.title="lakebase-api" \
      org.opencontainers.image.description="A REST API in front of tables of Databricks Lakebase" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# PORT is the platform's to set, and then BIND is on all addresses at that port.
ENV PATH=/opt/venv/bin:${PATH} \
    PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
# Nobody, by number: what runs containers can tell that it is not root.
USER 65534:65534
STOPSIGNAL SIGTERM
# Not /readyz: engines replace what is unhealthy, and that mends no database that is away.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; port = (os.environ.get('BIND') or os.environ['PORT']).rpartition(':')[2]; probe = http.client.HTTPConnection('127.0.0.1', int(port), timeout=4); probe.request('GET', '/livez'); raise SystemExit(probe.getresponse().status != 200)"]
CMD ["gunicorn", "wsgi:app"]
