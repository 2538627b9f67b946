package query

// A Type is the type of a field or an expression. Every expression may also be null.
type Type int

// The types.
const (
	TypeNull    Type = iota // of the literal NULL alone
	TypeString              // text; UUIDs are text
	TypeInteger             // int64
	TypeFloat               // float64
	TypeBoolean
	TypeInstant // a moment, in microseconds, UTC
	TypeDate    // a day
	TypeJSON    // JSON as text
	TypeStrings // a list of text; it can be exported, but not computed with
)

// typeNames are the types as models.yaml and messages write them.
var typeNames = map[Type]string{
	TypeNull: "null", TypeString: "string", TypeInteger: "integer", TypeFloat: "float", TypeBoolean: "boolean",
	TypeInstant: "timestamp", TypeDate: "date", TypeJSON: "json", TypeStrings: "strings",
}

// String is the type's name.
func (t Type) String() string { return typeNames[t] }

// ParseType finds the type of fields with the name.
func ParseType(name string) (Type, bool) {
	for t, n := range typeNames {
		if n == name && t != TypeNull {
			return t, true
		}
	}
	return TypeNull, false
}

func (t Type) numeric() bool { return t == TypeInteger || t == TypeFloat }
