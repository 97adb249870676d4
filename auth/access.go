package auth

// An AccessList is what a room's record says of who may do what in it: for
// everybody, for the members of groups, for people. Its words are permission
// strings of the ecosystem whose API wrote them; the format of a token reads
// them, see [Format].Base. It is a value: nothing in it is changed once it has
// been made.
type AccessList struct {
	Default []string            `json:"default"`
	Groups  map[string][]string `json:"groups,omitempty"` // by group id
	Users   map[string][]string `json:"users,omitempty"`  // by identity
}
