package batch

// An Explanation is what a code means and what to do about it, for people: docs/errors.md is made of them.
type Explanation struct {
	Meaning string
	Remedy  string
}

// explanations has every code. Each text is one or more sentences.
var explanations = map[Code]Explanation{
	CodeInternal: {
		"Nobody has classified what happened: most likely a defect of ours, or an error of a driver that we do not know.",
		"Nothing, as a user: it is tried again, 50 times at most. Operators find the cause in the worker's log by the run's id, and report it.",
	},
	CodeUnavailable: {
		"The source or the destination does not answer, or broke off in the middle.",
		"Wait: it is tried again until the interval's limit of time. When it lasts, look whether the other side is up and whether a firewall lets the workers' addresses in.",
	},
	CodeThrottled: {
		"The other side asks us to slow down: too many requests, connections or queries, or too little memory.",
		"Wait. When it lasts, raise the limit at the other side, or lower TRANCHE_RUNS_PER_HOST and the concurrency of backfills.",
	},
	CodeTimeout: {
		"There was no answer in time: from the other side, from a worker that died, or of the whole run within its interval's limit.",
		"Wait; a worker that died is replaced by another one. A run that ended with this code took too long as a whole: retry it, and see in its log which step was slow.",
	},
	CodeBusy: {
		"Somebody else is at work: another run commits the same interval, a limit of runs at once is reached, or a lock on the table is held.",
		"Wait. When it lasts on PostgreSQL, look in pg_locks who holds the table. When it is a limit, see docs/fairness.md.",
	},
	CodeCredentials: {
		"The destination or the source does not know us: a wrong user, password, key or role.",
		"Send the right credentials with a PATCH, run the connection test, and retry the run.",
	},
	CodePermission: {
		"The other side knows us and refuses: a right is missing.",
		"Grant the right that the message names; the page of the destination lists them all. Then retry the run.",
	},
	CodeNotFound: {
		"Something that must exist does not: a bucket, a database, a table, a folder, a host.",
		"Create it, or correct the setting that names it. Then retry the run.",
	},
	CodeConfig: {
		"The settings of the export cannot work as they are, although each of them is valid.",
		"Change the setting that the message names, run the connection test, and retry the run.",
	},
	CodeFilter: {
		"The filters or the query of the export name something that the model does not have any more, or that this server no longer reads.",
		"Change the filters or the query as the message says, look at a preview, and retry the run.",
	},
	CodeSchema: {
		"The destination's table or the file's format cannot hold these rows or columns; or the source's table is not as it is configured.",
		"Change the column, constraint or trigger that the message names. Tables are never altered by us. Then retry the run.",
	},
	CodeNoSpace: {
		"The destination is full: a disk, a quota, an account.",
		"Make room: it is tried again until the interval's limit of time, and goes on by itself.",
	},
	CodeVerification: {
		"The destination reports other numbers or other checksums than what was staged. The interval counts as not delivered.",
		"Retry the run: what it finds is replaced. When it comes again, something changes files or rows on their way or in their place; operators compare the run's log with the manifest or the ledger.",
	},
	CodeSuperseded: {
		"A newer run of the same time took over, so this one may not publish anything any more. Also a workflow that was reset in Temporal.",
		"Nothing: the newer run delivers the interval, see the coverage.",
	},
	CodeCancelled: {
		"Somebody cancelled the run, by the API or in Temporal, or terminated its workflow.",
		"Nothing, or retry the run if it was a mistake.",
	},
	CodeDestinationClosed: {
		"This server does not have, or does not allow, the type of destination.",
		"Ask the operator: the type may need a setting of the server's, such as TRANCHE_FILE_ROOT.",
	},
	CodeOverlap: {
		"The time was delivered before with intervals of another length, which the run would have to replace in part.",
		"Send replace: true with the backfill to take their place, or leave it: the rows are there.",
	},
}

// Explain returns the explanation of a code. An unknown code is our defect.
func Explain(c Code) Explanation {
	if e, ok := explanations[c]; ok {
		return e
	}
	return explanations[CodeInternal]
}
