# The image of emberline. It needs the image of Python with its digest, because a tag may be another
# image tomorrow; there is no default, because a digest is looked up where the image is built:
#
#     docker buildx imagetools inspect python:3.13-slim
#     docker build --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:... --tag emberline .
#
# docs/deployment.md says how to run it.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS build
ARG PYTHON_IMAGE
# yes: an image without a digest is taken too. docker-compose.yml says so, which is for trying out
ARG BY_TAG=no
RUN case "${PYTHON_IMAGE}" in \
      *@sha256:*) ;; \
      *) [ "${BY_TAG}" = yes ] \
         || { echo "PYTHON_IMAGE ${PYTHON_IMAGE} has no digest: give NAME:TAG@sha256:..." >&2; exit 1; } ;; \
    esac
WORKDIR /src

# the packages first: they change less often than the program
COPY requirements-run.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/emberline \
    && python -m pip --python /opt/emberline/bin/python install \
       --no-cache-dir --require-hashes --only-binary :all: -r requirements-run.lock \
    && python -m pip install --no-cache-dir --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY streams streams
COPY agents agents
COPY deploy deploy
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python -m pip --python /opt/emberline/bin/python install --no-cache-dir --no-deps /wheel/*.whl

# neither pip nor a compiler, nor anything that writes outside of /data
FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="emberline" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 emberline \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data \
       --shell /usr/sbin/nologin emberline \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/emberline /opt/emberline
ENV PATH=/opt/emberline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    EMBERLINE_DATA_DIR=/data
# a number, so that Kubernetes can see that it is not root
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 6066
ENTRYPOINT ["emberline"]
CMD ["worker"]
