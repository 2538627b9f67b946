#!/bin/sh
# Creates the namespace, unless there is one. Its retention bounds how long the UI can show a run's history.
set -eu

temporal operator namespace describe --namespace "$NAMESPACE" >/dev/null 2>&1 ||
	temporal operator namespace create --namespace "$NAMESPACE" --retention 30d
