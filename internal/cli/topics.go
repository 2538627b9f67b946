package cli

import "github.com/spf13/cobra"

// Topics are help without a command: "tranche help exit-codes".

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What exit codes say", Long: `Exit codes of the commands that talk to the API:

    0  done
    1  it failed
    2  the command was called in a wrong way
    3  what was named does not exist
    4  refused: the request is invalid, or in conflict with how things are
    5  no key, a wrong key, or one without the scope or the project
    6  the API does not answer, or asks to come back later
    7  "exports diff" found a difference
    8  what was watched ended without completing; "coverage --check" found gaps
  130  interrupted; what was watched goes on`}
}

func environmentTopic() *cobra.Command {
	return &cobra.Command{Use: "environment", Short: "Where commands find the API, the project and the key", Long: `Commands that talk to the API look for it, in this order,

  1. in the flags --url and --project,
  2. in the profile that --profile names,
  3. in the environment: TRANCHE_URL, TRANCHE_PROJECT, TRANCHE_API_KEY,
  4. in the profile of TRANCHE_PROFILE, or of "profile" in the configuration file,

and take http://127.0.0.1:8000 and project 1 where nothing is said. A key goes with the URL that it stands beside:
that of a profile is never sent to another URL. There is no flag for keys, since others can see those.

The file is ~/.config/tranche/config.yaml, or the one that TRANCHE_PROFILES names:

    profile: staging
    profiles:
      staging:
        url: https://tranche.staging.example.com
        project: 1
        api_key: ${STAGING_TRANCHE_KEY}
      production:
        url: https://tranche.example.com
        project: 7
        api_key_file: ~/.config/tranche/production.key

Also: NO_COLOR takes colors away. "tranche profiles" shows what is in force, but no key.`}
}

func definitionsTopic() *cobra.Command {
	return &cobra.Command{Use: "definitions", Short: "The YAML that describes exports", Long: `An export as code is a YAML document with the fields of the API's "create":

    name: events by the hour
    interval: hour
    destination:
      type: S3
      config:
        bucket_name: warehouse
        region: eu-central-1
        prefix: events/{year}/{month}/{day}
        file_format: Parquet
        aws_access_key_id: ${AWS_ACCESS_KEY_ID}
        aws_secret_access_key: ${AWS_SECRET_ACCESS_KEY}

A file may hold several documents with "---" between them; a directory stands for its *.yaml, *.yml and *.json files.

${NAME} in a text is the variable NAME of the environment, ${file:PATH} what the file holds (PATH from the directory of
the definition on, without line ends at its end). Both are read when the definition is used, and never printed. $$ is a
dollar sign. What is left out has its default, but for "paused": then it stays as it is. An export is known by its name;
with "id" by its id, so that it can be renamed.

The API never shows secrets, so no plan can tell whether they differ: "apply" sends them each time, and tells afterwards
whether anything had changed. "exports get EXPORT --definition" writes the YAML of an export that exists.`}
}
