package sql

import (
	"strings"

	"tranche/batch"
)

// maxText bounds the SQL of one statement, in bytes.
const maxText = 1 << 20

// mark stands for a value in the text of a fragment. No text that a fragment is made of can hold it.
const mark = '\x00'

// A fragment is a piece of SQL with the values that are bound in it, in order.
type fragment struct {
	text   string
	values []value
}

// A value is what is bound, and as what.
type value struct {
	bound any
	as    string // the dialect's placeholder around it, with a # for the number
}

func textFragment(text string) fragment { return fragment{text: text} }

// fill puts arguments in for @1, @2 and so on of a template, and all of them, separated by commas, for @*.
func fill(template string, args ...fragment) fragment {
	var b strings.Builder
	var values []value
	for {
		before, rest, found := strings.Cut(template, "@")
		b.WriteString(before)
		if !found {
			return fragment{text: b.String(), values: values}
		}
		chosen := args
		if rest[0] != '*' {
			chosen = args[rest[0]-'1' : rest[0]-'0']
		}
		for i, arg := range chosen {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(arg.text)
			values = append(values, arg.values...)
		}
		template = rest[1:]
	}
}

// joined puts a separator between fragments, and parentheses around them.
func joined(separator string, fragments []fragment) fragment {
	var values []value
	texts := make([]string, len(fragments))
	for i, f := range fragments {
		texts[i] = f.text
		values = append(values, f.values...)
	}
	return fragment{text: "(" + strings.Join(texts, separator) + ")", values: values}
}

// check refuses a fragment that has grown too long: functions that need an argument twice can double it again and again.
func (f fragment) check() error {
	if len(f.text) > maxText {
		return batch.Errorf(batch.CodeConfig, nil, "the query is too complex")
	}
	return nil
}
