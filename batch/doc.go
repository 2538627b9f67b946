// Package batch is the domain of Tranche: exports, intervals, runs and backfills, and the errors that say who must act.
//
// It knows no database, no HTTP, no Temporal, and imports nothing of ours. All instants are UTC; a time zone exists
// only inside [Calendar].
package batch
