FROM alpine:1 AS base
ONBUILD COPY --from=files:1 / /
onbuild run --mount=type=bind,from=tools:1,target=/t true
FROM alpine:2 AS lonely
ONBUILD COPY --from=never:1 / /
FROM base
COPY --from=LONELY / /
