FROM python:3.12-slim

WORKDIR /opt/emberline

# the packages first: they change less often than the program
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY streams streams
COPY agents agents
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home emberline \
    && install -d -o emberline /data

USER emberline
VOLUME /data
EXPOSE 6066
ENTRYPOINT ["emberline"]
CMD ["worker"]
