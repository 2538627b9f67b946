package postgres

// Export is what Hold keeps.
var Export = (*Source).export
