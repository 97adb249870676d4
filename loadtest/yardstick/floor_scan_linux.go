package yardstick

import "strconv"

// request is what is looked at in a client's message that comes often. Values
// are JSON as they came, but for the texts, which are without their quotes.
type request struct {
	typ, token   []byte
	topic        []byte // with its quotes
	encoding     []byte // with its quotes
	payload      []byte
	id           uint64
	unreliable   bool
	destinations bool
}

// maxDepth bounds arrays and objects in one another.
const maxDepth = 1000

// scan checks that b is a JSON object and finds the fields of a request, with
// nothing allocated. It reports what is wrong, if anything is.
func scan(b []byte) (r request, problem string) {
	const notJSON = "the message is not valid JSON"
	i := space(b, 0)
	if i == len(b) || b[i] != '{' {
		if skip(b, i, 0) < 0 {
			return r, notJSON
		}
		return r, "a message is a JSON object"
	}
	i = space(b, i+1)
	for first := true; i < len(b) && (b[i] != '}' || !first); first = false {
		end := text(b, i)
		if end < 0 {
			return r, notJSON
		}
		name := b[i+1 : end-1]
		if i = space(b, end); i == len(b) || b[i] != ':' {
			return r, notJSON
		}
		i = space(b, i+1)
		if end = skip(b, i, 0); end < 0 {
			return r, notJSON
		}
		if !r.set(string(name), b[i:end]) {
			return r, string(name) + " has the wrong type"
		}
		if i = space(b, end); i == len(b) {
			return r, notJSON
		}
		if b[i] == '}' {
			break
		}
		if b[i] != ',' {
			return r, notJSON
		}
		i = space(b, i+1)
	}
	if i >= len(b) || space(b, i+1) != len(b) {
		return r, notJSON
	}
	if len(r.typ) == 0 {
		return r, "type is missing"
	}
	return r, ""
}

func (r *request) set(name string, value []byte) bool {
	isText := value[0] == '"'
	switch name {
	case "type":
		if isText {
			r.typ = value[1 : len(value)-1]
		}
		return isText
	case "token":
		if isText {
			r.token = value[1 : len(value)-1]
		}
		return isText
	case "topic":
		r.topic = value
		return isText
	case "encoding":
		r.encoding = value
		return isText
	case "payload":
		r.payload = value
	case "id":
		id, err := strconv.ParseUint(string(value), 10, 64)
		r.id = id
		return err == nil
	case "reliable":
		r.unreliable = string(value) == "false"
		return r.unreliable || string(value) == "true"
	case "destinationIdentities", "destinationSids":
		r.destinations = true
	}
	return true
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns where the value at i ends, or -1 when there is none.
func skip(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxDepth {
		return -1
	}
	switch b[i] {
	case '"':
		return text(b, i)
	case '{', '[':
		return group(b, i, depth)
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	}
	return number(b, i)
}

// group returns where the object or array at i ends.
func group(b []byte, i, depth int) int {
	object, closing := b[i] == '{', b[i]+2 // the brackets' codes are two apart
	if i = space(b, i+1); i < len(b) && b[i] == closing {
		return i + 1
	}
	for {
		if object {
			if i = text(b, i); i < 0 {
				return -1
			}
			if i = space(b, i); i == len(b) || b[i] != ':' {
				return -1
			}
			i = space(b, i+1)
		}
		if i = skip(b, i, depth+1); i < 0 {
			return -1
		}
		if i = space(b, i); i == len(b) {
			return -1
		}
		if b[i] == closing {
			return i + 1
		}
		if b[i] != ',' {
			return -1
		}
		i = space(b, i+1)
	}
}

// text returns where the string at i ends.
func text(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i++; i == len(b) {
				return -1
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(b) {
					return -1
				}
				if _, err := strconv.ParseUint(string(b[i+1:i+5]), 16, 16); err != nil {
					return -1
				}
				i += 4
			default:
				return -1
			}
		}
	}
	return -1
}

func literal(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

func number(b []byte, i int) int {
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}
