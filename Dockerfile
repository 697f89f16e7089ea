# One image for the bot, the workers and the gateway; the command in docker-compose.yml selects one.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt \
 && pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY workers workers
COPY recipes recipes
RUN pip wheel --no-deps --no-build-isolation -w /dist . && /venv/bin/pip install --no-deps /dist/*.whl

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 mixtral && mkdir /data && chown mixtral /data
COPY --from=build /venv /venv
USER mixtral
ENV PATH=/venv/bin:$PATH MIXTRAL_HOME=/data
VOLUME /data
ENTRYPOINT ["mixtral-bot"]
CMD ["--help"]
