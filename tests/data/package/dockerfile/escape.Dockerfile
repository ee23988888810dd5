# escape=`
FROM windows `
  AS w
RUN dir c:\
RUN a `
# no
 b
COPY --from="a:1" x y
