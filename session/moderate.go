package session

import (
	"errors"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/session/wire"
)

// everybody is the key of updatePermissions that stands for all who are not named.
const everybody = "*"

func ejectParticipant(p *room.Participant, c room.Call, m *wire.Message) error {
	t, err := target(m)
	if err != nil {
		return p.Reject(c, err)
	}
	return p.EjectParticipant(c, t, m.Ban)
}

func updatePermissions(p *room.Participant, c room.Call, m *wire.Message) error {
	if len(m.Data) == 0 {
		return p.Reject(c, invalid(`data is missing: permissions by sid, or by "*" for all others`))
	}
	var rest *auth.Say
	bySID := make(map[string]auth.Say, len(m.Data))
	for sid, raw := range m.Data {
		say, err := daily.ParsePermissions(raw, auth.Live)
		if err != nil {
			var problem *daily.InvalidError
			if errors.As(err, &problem) {
				err = invalid(problem.Problem)
			}
			return p.Reject(c, err)
		}
		if sid == everybody {
			rest = &say
		} else {
			bySID[sid] = say
		}
	}
	return p.StatePermissions(c, bySID, rest)
}

// answerWaiting lets those in who wait, or sends them away.
func answerWaiting(admit bool) func(*room.Participant, room.Call, *wire.Message) error {
	return func(p *room.Participant, c room.Call, m *wire.Message) error {
		switch {
		case (m.SID == "") != m.All:
			return p.Reject(c, invalid("name who waits by sid, or all: true"))
		case m.All:
			return p.AnswerWaiting(c, nil, admit)
		}
		return p.AnswerWaiting(c, []string{m.SID}, admit)
	}
}

func updateSessionData(p *room.Participant, c room.Call, m *wire.Message) error {
	ch := room.SessionDataChange{Data: make(room.SessionData, len(m.Data))}
	for k, v := range m.Data {
		ch.Data[k] = v
	}
	if how := m.SessionDataUpdate; how != nil {
		switch how.MergeStrategy {
		case "", "replace":
			if len(how.KeysToDelete) > 0 {
				return p.Reject(c, invalid(`keysToDelete is for mergeStrategy "shallow-merge"`))
			}
		case "shallow-merge":
			ch.Merge, ch.Delete = true, how.KeysToDelete
		default:
			return p.Reject(c, invalid(`mergeStrategy is "replace" or "shallow-merge"`))
		}
	}
	return p.UpdateSessionData(c, ch)
}
