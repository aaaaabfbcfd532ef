# Any Python from 3.11 on that has venv; both stages must use the same.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
COPY requirements.txt /srv/
# Without pip in it, the environment holds what the lock file lists and nothing else.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
        --require-hashes -r /srv/requirements.txt
COPY app /srv/app
COPY docs /srv/docs
# The guide of the service, which nobody mounts a folder over.
COPY docs /srv/app/docs
# Compiled once and trusted: the files are read-only from here on.
RUN python -m compileall -q --invalidation-mode unchecked-hash /srv/app

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/app /srv/app
# What RAG_PROVIDER=local answers from until a folder is mounted there.
COPY --from=build /srv/docs /srv/docs
WORKDIR /srv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import os; from http.client import HTTPConnection as C; c = C('localhost', int(os.environ.get('PORT') or 8000), timeout=2); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app"]
