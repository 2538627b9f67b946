package encode

// A Validator says whether texts are JSON. It is not safe for use by several goroutines; its zero value is ready.
type Validator struct{ guard }

// Valid says whether text is one JSON value that nests no deeper than encoding/json reads.
func (v *Validator) Valid(text string) bool {
	valid, _ := v.scan(text)
	return valid
}

// Members calls yield with each member of a JSON object, in order, until it returns false: the key as it is written
// between its quotes, and the text of the value. The text must be valid JSON; what is no object has no members.
func Members(text string, yield func(key, value string) bool) {
	s := bytesOf(text)
	i := skipSpace(s, 0)
	if i >= len(s) || s[i] != '{' {
		return
	}
	i = skipSpace(s, i+1)
	for i < len(s) && s[i] == '"' {
		end := stringEnd(s, i+1)
		key := text[i+1 : end-1]
		start := skipSpace(s, skipSpace(s, end)+1) // behind the colon
		end = valueEnd(s, start)
		if !yield(key, text[start:end]) {
			return
		}
		if i = skipSpace(s, end); i < len(s) && s[i] == ',' {
			i = skipSpace(s, i+1)
		}
	}
}

// StringEnd returns the index behind the quote that ends the JSON string whose text starts at i; -1 = it is not a string.
func StringEnd(text string, i int) int { return stringEnd(bytesOf(text), i) }

// valueEnd returns the index behind the valid value that starts at i.
func valueEnd(s []byte, i int) int {
	depth := 0
	for i < len(s) {
		switch s[i] {
		case '"':
			i = stringEnd(s, i+1)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of the object around a number or a word
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
