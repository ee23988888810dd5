# syntax=docker/dockerfile:1.7 and more
# check=skip=all
# A comment ends the directives
# escape=`
ARG BASE=alpine
ARG VERSION=3.20 EXTRA="-slim" \
    OTHER=${BASE}-x

FROM ${BASE}:${VERSION}${EXTRA} AS Build
run echo hello \
    # a comment in between

    && echo world \

    && true
COPY --from=busybox:1.37 --chown=0:0 /bin/busybox /b
COPY --from=build /x /y
COPY --from=0 /x /y
RUN --mount=type=bind,from=golang:1.26,target=/go --mount=type=cache,target=/c \
    --mount=type=bind,from=build,target=/b make
FROM --platform=$BUILDPLATFORM tools:${N:-9} as tools
FROM build
FROM scratch
ADD https://example.com/x /x
