package query

import "time"

// An Expr is a typed expression over the fields of a model: what a filter or a SELECT of the customer's became. Printers
// turn it into SQL; its constants are always bound, never part of the text.
type Expr interface {
	// Type is the type of the values.
	Type() Type
}

// A Literal is a constant: nil, string, int64, float64, bool or time.Time in UTC.
type Literal struct {
	Value any
	Of    Type
}

// Type is the type of the constant.
func (l Literal) Type() Type { return l.Of }

// Text is a constant of type string.
func Text(s string) Literal { return Literal{Value: s, Of: TypeString} }

// Integer is a constant of type integer.
func Integer(n int64) Literal { return Literal{Value: n, Of: TypeInteger} }

// Number is a constant of type float. There is no negative zero.
func Number(f float64) Literal { return Literal{Value: f + 0, Of: TypeFloat} }

// Truth is a constant of type boolean.
func Truth(b bool) Literal { return Literal{Value: b, Of: TypeBoolean} }

// Instant is a constant of type instant, in whole microseconds.
func Instant(t time.Time) Literal {
	return Literal{Value: t.UTC().Truncate(time.Microsecond), Of: TypeInstant}
}

// A Ref is a field of the model.
type Ref struct {
	Field Field
	Of    Type
}

// Type is the type of the field.
func (r Ref) Type() Type { return r.Of }

// A Property is what lies in a JSON field under the path. It is null when it is absent or null in the JSON.
//
// Of type string it is text: of a string its characters, of anything else its JSON. Of type JSON it is JSON.
type Property struct {
	Object Expr // of type JSON
	Path   []string
	Raw    bool // JSON
}

// Type is string or JSON.
func (p Property) Type() Type {
	if p.Raw {
		return TypeJSON
	}
	return TypeString
}

// A Call applies a function of the allow-list to arguments whose types it has checked.
type Call struct {
	Function string
	Args     []Expr
	Of       Type
}

// Type is the type of the result.
func (c Call) Type() Type { return c.Of }

// A Bound is the start or the end of the interval that is exported.
type Bound struct {
	Start bool
}

// Type is instant.
func (Bound) Type() Type { return TypeInstant }

// And is true where all are. Nils do not count; nil means all rows.
func And(conditions ...Expr) Expr {
	return junction(FunctionAnd, conditions)
}

// Or is true where one of them is. Nils do not count; nil means that there are no conditions.
func Or(conditions ...Expr) Expr {
	return junction(FunctionOr, conditions)
}

func junction(function string, conditions []Expr) Expr {
	var args []Expr
	for _, c := range conditions {
		if c != nil {
			args = append(args, c)
		}
	}
	switch len(args) {
	case 0:
		return nil
	case 1:
		return args[0]
	}
	return Call{Function: function, Args: args, Of: TypeBoolean}
}

// Walk calls visit for the expression and all that it is made of.
func Walk(e Expr, visit func(Expr)) {
	if e == nil {
		return
	}
	visit(e)
	switch e := e.(type) {
	case Property:
		Walk(e.Object, visit)
	case Call:
		for _, arg := range e.Args {
			Walk(arg, visit)
		}
	}
}
