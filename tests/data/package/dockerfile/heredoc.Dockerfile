FROM alpine
RUN <<EOF
FROM not-an-image
COPY --from=nothing /a /b
EOF
RUN <<-"A" cat && <<B cat
	FROM one
	A
FROM two
B
COPY <<one <<'two' /dir/
FROM x
one
FROM y
two
RUN ["sh", "-c", "cat <<EOF"]
CMD cat <<EOF
ENV A=<<EOF
RUN echo "<<EOF"
RUN echo '<<EOF' \
  done
RUN cat <<< here
ONBUILD RUN <<EOF
FROM z
EOF
COPY --from=busybox a b
