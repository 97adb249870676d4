package liveblocks

import "net/http"

const storageWrites = "writes to Storage are"

// storage shows what the Storage of a room holds: nothing. It is the answer that
// sessions get, too.
func storage(c *call) (int, any, error) {
	if _, err := c.api.Rooms.Liveblocks(c.project, c.room); err != nil {
		return 0, nil, err
	}
	type empty struct{}
	switch format := c.URL.Query().Get("format"); format {
	case "", "plain-lson":
		return http.StatusOK, struct {
			Type string `json:"liveblocksType"`
			Data empty  `json:"data"`
		}{Type: "LiveObject"}, nil
	case "json":
		return http.StatusOK, empty{}, nil
	default:
		return 0, nil, unprocessable("format is plain-lson or json")
	}
}

// noStorage refuses to write. Nothing would be kept.
func noStorage(*call) (int, any, error) { return 0, nil, notOffered(storageWrites) }
