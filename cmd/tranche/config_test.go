package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSourceIsClickHouseOrPostgreSQL(t *testing.T) {
	t.Parallel()
	for url, problem := range map[string]string{
		"clickhouse://reader:pw@ch-1:8123,ch-2:8123/analytics?secure=true": "",
		"https://reader:pw@ch-1:8443/analytics":                            "",
		"postgres://reader:pw@db:5432/app?sslmode=verify-full":             "",
		"postgresql://reader:pw@db-1,db-2/app":                             "",
		"mysql://reader:pw@db/app":                                         "must begin with postgres://",
		"clickhouse:///analytics":                                          "names no host",
		"clickhouse://ch/analytics?query=DROP":                             `must not set "query"`,
		"postgres://reader:secret-pw@db:notaport/app":                      "is not valid",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			_, err := readConfig(func(name string) string { return map[string]string{"TRANCHE_SOURCE_URL": url}[name] })
			if problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "TRANCHE_SOURCE_URL: ")
			require.ErrorContains(t, err, problem)
			require.NotContains(t, err.Error(), "secret-pw")
		})
	}
}
