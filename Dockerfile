# bids_strip in a container. Builds with docker, podman and buildah, with and without BuildKit.
#   docker build -t bids_strip .                    for the processor: the last stage, cpu
#   docker build -t bids_strip:gpu --target gpu .   with CUDA 12 and cuDNN 9
# --build-arg TEMPLATES=  leaves the MNI template out (fetched from templateflow.org otherwise);
# --build-arg TEMPLATES=templateflow  takes it from a folder of that name beside this file.
FROM debian:bookworm-slim AS sources
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bids_strip" \
      org.opencontainers.image.description="Brain masks, signed distances and quality metrics for the head scans of a BIDS dataset" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
ENV PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    LC_ALL=C.UTF-8 \
    TEMPLATEFLOW_HOME=/opt/bids_strip/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=off
ENTRYPOINT ["/usr/local/bin/bids_strip"]
CMD ["--help"]
COPY . /src

FROM sources AS gpu
ARG TEMPLATES=fetch
RUN sh /src/container/install.sh gpu "$TEMPLATES" && rm -rf /src

FROM sources AS cpu
ARG TEMPLATES=fetch
RUN sh /src/container/install.sh cpu "$TEMPLATES" && rm -rf /src
