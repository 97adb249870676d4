package explain_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"usher/web/explain"
)

func jwt(header, claims string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(claims)) + ".c2lnbmF0dXJl"
}

// Whatever is pasted: what it is, and a line that helps.
func TestAny(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	const hs, none, lb = `{"alg":"HS256","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"HS256","kid":"lb_1","typ":"JWT"}`
	for name, test := range map[string]struct {
		text string
		kind explain.Kind
		want string // a part, with its label
	}{
		"livekit":               {jwt(hs, `{"iss":"K","sub":"ada","exp":1767358800,"video":{"roomJoin":true,"room":"lab"}}`), explain.LiveKitToken, "may: join the room"},
		"livekit, more claims":  {jwt(hs, `{"iss":"K","sub":"ada","exp":1767358800,"video":{"roomJoin":true,"room":"lab"},"k":"id","uid":"x"}`), explain.LiveKitToken, "may: join the room"},
		"livekit without grant": {jwt(hs, `{"iss":"K","sub":"ada","exp":1767358800}`), explain.LiveKitToken, "wrong: it has no video grant"},
		"livekit, unsigned":     {jwt(none, `{"iss":"K","sub":"ada","video":{}}`), explain.LiveKitToken, "wrong: no server would take this token"},
		"livekit, mistyped":     {jwt(hs, `{"iss":"K","sub":"ada","video":[]}`), explain.LiveKitToken, "wrong: no server would take this token: malformed token"},
		"webhook":               {jwt(hs, `{"iss":"K","exp":1767358800,"sha256":"x"}`), explain.LiveKitWebhook, "here: it lets nobody in"},
		"liveblocks id":         {jwt(none, `{"k":"id","pid":"p","uid":"ada","gids":["staff"],"iat":1,"exp":1767358800}`), explain.LiveblocksID, `groups: "staff"`},
		"liveblocks access":     {jwt(hs, `{"k":"acc","pid":"p","uid":"ada","perms":{"a:*":["room:write"]},"exp":1}`), explain.LiveblocksAccess, `may: room:write in "a:*"`},
		"liveblocks, old":       {jwt(hs, `{"k":"acc","pid":"p","uid":"ada","perms":{},"exp":1}`), explain.LiveblocksAccess, "wrong: it expired more than 10 years ago"},
		"liveblocks, whole":     {jwt(lb, `{"k":"id","pid":"p","uid":"ada","gids":["staff"],"ui":{"name":"Ada"},"org":"acme","jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksID, "may: enter rooms, and do there what their access lists say"},
		"liveblocks, signed":    {jwt(lb, `{"k":"id","pid":"p","uid":"ada","jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksID, "signature: holds"},
		"liveblocks, video":     {jwt(lb, `{"k":"id","pid":"p","uid":"ada","jti":"1","iat":1767355200,"exp":1767358800,"iss":"","video":{}}`), explain.LiveblocksID, "signature: holds"},
		"liveblocks, key":       {jwt(lb, `{"k":"id","pid":"p","uid":"ada","jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksID, `key: "lb_1"`},
		"liveblocks, tenant":    {jwt(lb, `{"k":"id","pid":"p","uid":"ada","org":"acme","jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksID, `tenant: "acme"`},
		"liveblocks, called":    {jwt(lb, `{"k":"id","pid":"p","uid":"ada","ui":{"name":"Ada"},"jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksID, `holder: "ada", called "Ada"`},
		"liveblocks, unsigned":  {jwt(none, `{"k":"id","pid":"p","uid":"ada","iat":1,"exp":1767358800}`), explain.LiveblocksID, "wrong: no server would take this token"},
		"liveblocks, makes":     {jwt(lb, `{"k":"acc","pid":"p","uid":"ada","perms":{"a:*":["*:read"]},"jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksAccess, "may: make such a room by entering it, when it is missing and auto_create is not off"},
		"liveblocks, nothing":   {jwt(lb, `{"k":"acc","pid":"p","uid":"ada","perms":{},"jti":"1","iat":1767355200,"exp":1767358800}`), explain.LiveblocksAccess, "wrong: it has no permissions"},
		"secret key":            {"sk_dev_abc", explain.LiveblocksSecret, ""},
		"public key":            {"pk_dev_abc", explain.LiveblocksPublic, ""},
		"daily":                 {jwt(hs, `{"r":"standup","d":"1","iat":1,"u":"Ada","o":true}`), explain.DailyToken, "may: everything"},
		"daily, signed":         {jwt(hs, `{"r":"standup","d":"1","iat":1}`), explain.DailyToken, "signature: holds"},
		"daily, holder":         {jwt(hs, `{"r":"standup","d":"1","iat":1,"ud":"u1","u":"Ada"}`), explain.DailyToken, `holder: "u1", called "Ada"`},
		"daily, nobody":         {jwt(hs, `{"r":"standup","d":"1","iat":1}`), explain.DailyToken, "holder: somebody without a user id"},
		"daily, iss and sub":    {jwt(hs, `{"iss":"x","sub":"y","d":"25df5057-ef0d-4d97-bde6-0cf287276cbb"}`), explain.DailyToken, `domain: "25df5057`},
		"daily, every room":     {jwt(hs, `{"d":"1","iat":1}`), explain.DailyToken, "beware: it is good for every room of the domain"},
		"daily, for ever":       {jwt(hs, `{"r":"standup","d":"1","iat":1}`), explain.DailyToken, "beware: it never expires"},
		"daily, no iat":         {jwt(hs, `{"r":"standup","d":"1","nbf":1}`), explain.DailyToken, "wrong: it has no iat: every revocation"},
		"daily, expired":        {jwt(hs, `{"r":"standup","d":"1","iat":1,"exp":1767355200}`), explain.DailyToken, "may: nothing as it stands"},
		"daily, not yet":        {jwt(hs, `{"r":"standup","d":"1","iat":1,"nbf":1767355201}`), explain.DailyToken, "wrong: it is not valid yet (nbf): in 1s it will be"},
		"daily, unsigned":       {jwt(none, `{"r":"standup","d":"1","iat":1}`), explain.DailyToken, "wrong: no server would take this token"},
		"daily, mistyped":       {jwt(hs, `{"r":"standup","d":"1","iat":1,"o":"true"}`), explain.DailyToken, "wrong: no server would take this token: malformed token"},
		"daily, permissions":    {jwt(hs, `{"r":"standup","d":"1","iat":1,"p":{"cs":"v,sa"}}`), explain.DailyToken, `may: publishing tracks: canSend is ["video","screenAudio"]`},
		"daily, no permissions": {jwt(hs, `{"r":"standup","d":"1","iat":1,"p":{"cs":"v,sa"}}`), explain.DailyToken, "may: moderating from inside: as the room says, else the domain (canAdmin)"},
		"daily, stay":           {jwt(hs, `{"r":"standup","d":"1","iat":1,"eje":90}`), explain.DailyToken, "stay: put out 1m30s after joining"},
		"daily, put out":        {jwt(hs, `{"r":"standup","d":"1","iat":1,"ejt":true,"exp":1767358800}`), explain.DailyToken, "stay: put out when the token expires"},
		"daily, ejt alone":      {jwt(hs, `{"r":"standup","d":"1","iat":1,"ejt":true}`), explain.DailyToken, "wrong: eject_at_token_exp (ejt) has no effect without exp"},
		"daily, start":          {jwt(hs, `{"r":"standup","d":"1","iat":1,"vo":true}`), explain.DailyToken, "start: with the camera off"},
		"daily, owner knocks":   {jwt(hs, `{"r":"standup","d":"1","iat":1,"k":true,"o":true}`), explain.DailyToken, "wrong: knocking (k) has no effect"},
		"daily, refreshed":      {jwt(hs, `{"d":"1","iat":1,"exp":1767358800,"ud":"u1","live":{"room":"lab"},"usher":{"kid":"daily_1","iat":1767354900,"sid":"PA_1","eject":1767355260000}}`), explain.DailyToken, "stay: put out at 2026-01-02 12:01:00 UTC (in 1m00s)"},
		"daily, refreshed, too late": {jwt(hs, `{"d":"1","iat":1,"exp":1767358800,"ud":"u1","live":{"room":"lab"},"usher":{"kid":"daily_1","iat":1767354900,"sid":"PA_1","enter":1767355140}}`), explain.DailyToken,
			"wrong: it lets nobody in, for the token it was refreshed from expired 1m00s ago"},
		"daily, knocking":   {jwt(hs, `{"r":"standup","d":"1","iat":1,"k":true}`), explain.DailyToken, "may not: enter at once"},
		"daily, long names": {jwt(hs, `{"r":"standup","d":"1","iat":1,"user_name":"Ada"}`), explain.DailyToken, "wrong: user_name is not read"},
		"another":           {jwt(`{"alg":"RS256"}`, `{"iss":"https://x","sub":"1","aud":"y","exp":9999999999}`), explain.OtherToken, `wrong: it is signed by the algorithm "RS256"`},
		"nothing":           {" ", explain.NoToken, "wrong: there is nothing"},
		"bearer":            {"Bearer a.b.c", explain.NoToken, `wrong: "Bearer" is of the header`},
		"address":           {"wss://x/rtc?access_token=a.b.c", explain.NoToken, "wrong: this is an address"},
		"quoted":            {`"a.b.c"`, explain.NoToken, "wrong: it is in quotation marks"},
		"broken":            {"a.b\n.c", explain.NoToken, "wrong: there are spaces or line breaks"},
		"api key":           {"APIabcdef", explain.NoToken, "wrong: this looks like the id of a LiveKit API key"},
		"claims":            {`{"sub":"ada"}`, explain.NoToken, "wrong: these are claims that nobody has signed"},
		"two parts":         {"a.b", explain.NoToken, "wrong: a token has three parts with a dot between them; this has 2"},
		"no base64":         {"!.b.c", explain.NoToken, "wrong: its first part, the header, is not base64url"},
		"cut":               {jwt(hs, `{"iss":"K"}`)[:40] + ".x", explain.NoToken, "wrong: its second part, the claims, is not a JSON object; perhaps it was cut short"},
		"null":              {jwt(hs, `null`), explain.NoToken, "wrong: its second part, the claims, is not a JSON object"},
	} {
		kind, report := explain.Any(test.text, []string{"holds"}, noon)
		var text strings.Builder
		for _, part := range report {
			for _, line := range part.Lines {
				text.WriteString("\n" + part.Label + ": " + line)
			}
		}
		if kind != test.kind || test.want != "" && !strings.Contains(text.String(), "\n"+test.want) {
			t.Errorf("%s: got %s%s\nwant %s, %q", name, kind, &text, test.kind, test.want)
		}
		if kind.What() == "" {
			t.Errorf("%s: there are no words for %s", name, kind)
		}
	}
}
