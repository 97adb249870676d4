package object

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A Field is a member that [Read] knows, and where to put its value: a
// *string, *bool, **bool, *[]string, *map[string]string or *json.RawMessage.
type Field struct {
	Name string
	Into any
}

// Read puts the values of an object's members where the fields say. Members
// that no field names are passed over; null counts as absent. A known member
// that comes twice, in whatever case, is [ErrDuplicate], one of the wrong type
// [ErrType]. There may be 64 fields. b must be valid JSON.
func Read(b []byte, fields ...Field) error { return read(b, false, fields) }

// ReadExact is like [Read], but a member whose name is in another case of letters
// is one that no field names.
func ReadExact(b []byte, fields ...Field) error { return read(b, true, fields) }

func read(b []byte, exact bool, fields []Field) error {
	var seen uint64
	return Each(b, func(name, value []byte) error {
		for i := range fields {
			if exact && string(name) != fields[i].Name || !exact && !same(name, fields[i].Name) {
				continue
			}
			if seen&(1<<i) != 0 {
				return of(ErrDuplicate, fields[i].Name)
			}
			seen |= 1 << i
			if string(value) == "null" {
				return nil
			}
			if !put(value, fields[i].Into) {
				return of(ErrType, fields[i].Name)
			}
			return nil
		}
		return nil
	})
}

// of names the field an error is about. Without the copy, the fields and all
// they point to would have to be on the heap.
func of(err error, field string) error { return fmt.Errorf("%w: %s", err, strings.Clone(field)) }

func put(value []byte, into any) bool {
	switch into := into.(type) {
	case *json.RawMessage:
		*into = value
	case *string:
		s, ok := text(value)
		if !ok {
			return false
		}
		*into = s
	case *bool:
		b, ok := boolean(value)
		if !ok {
			return false
		}
		*into = b
	case **bool:
		b, ok := boolean(value)
		if !ok {
			return false
		}
		*into = &b
	case *[]string:
		var list []string
		if value[0] != '[' || json.Unmarshal(value, &list) != nil {
			return false
		}
		*into = list
	case *map[string]string:
		m := map[string]string{}
		*into = m
		return Each(value, func(name, value []byte) error {
			s, ok := text(value)
			if !ok && string(value) != "null" {
				return ErrType
			}
			m[string(name)] = s
			return nil
		}) == nil
	default:
		// Printing into here would send every field to the heap.
		panic("object: a field of a type that Read cannot fill")
	}
	return true
}

func text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// Number reads a number, which may stand in quotes: protobuf's JSON writes large
// ones so, and LiveKit reads times so.
func Number(value []byte) (float64, bool) {
	if n := len(value); n > 2 && value[0] == '"' {
		value = value[1 : n-1]
		if !json.Valid(value) {
			return 0, false
		}
	}
	if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(value), 64)
	return f, err == nil
}

func boolean(value []byte) (b, ok bool) {
	switch string(value) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}
