// Package sources measures the production sources: alone, end to end to Parquet, and beside the raw floor, which is the
// server's answer thrown away.
package sources
