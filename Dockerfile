# The service: one static binary, and nothing else. The dev module is no part of it.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/tranche ./cmd/tranche
# A new volume takes its owner from the folder that it covers.
RUN mkdir -p /out/exports

FROM scratch
LABEL org.opencontainers.image.title="Tranche" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/exports /var/lib/tranche/exports
COPY --from=build /out/tranche /tranche
USER 65532:65532
EXPOSE 8000 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/tranche", "health"]
ENTRYPOINT ["/tranche"]
CMD ["api"]
