# The web page and the HTTP API (docs/serve.md):
#   docker build -t emorec .
#   docker run --rm -p 127.0.0.1:8080:8080 emorec
#   docker run --rm -p 127.0.0.1:8080:8080 -v "$PWD/runs/mine:/mine:ro" emorec --run /mine
FROM python:3.11-slim

# Libraries that OpenCV and MediaPipe link to; slim images lack them.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY setup.py pyproject.toml README.md LICENSE ./
COPY emorec_tf emorec_tf
COPY saved_models saved_models
RUN pip install --no-cache-dir --no-deps . && useradd --create-home served

USER served
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
  "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=5)"]
# Listen on all addresses of the container; docker run -p decides who can reach them.
ENTRYPOINT ["python", "-m", "emorec_tf.serve", "--host", "0.0.0.0", "--port", "8080"]
