package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"usher/auth"
)

// tokenLife is how long a signature is good, as LiveKit's.
const tokenLife = 5 * time.Minute

// sign sets the headers that prove where the event comes from.
func (t *settings) sign(h http.Header, d *delivery, now time.Time) error {
	if t.Sign != nil {
		t.Sign(h, d.body, now)
		return nil
	}
	return t.signLiveKit(h, d, now)
}

// signLiveKit signs as LiveKit does, and as Standard Webhooks asks for.
func (t *settings) signLiveKit(h http.Header, d *delivery, now time.Time) error {
	sum := sha256.Sum256(d.body)
	claims, err := json.Marshal(struct {
		Issuer    string `json:"iss"`
		IssuedAt  int64  `json:"iat"`
		NotBefore int64  `json:"nbf"`
		Expires   int64  `json:"exp"`
		SHA256    []byte `json:"sha256"` // JSON's encoding of bytes is the base64 that is asked for
	}{t.KeyID, now.Unix(), now.Unix(), now.Add(tokenLife).Unix(), sum[:]})
	if err != nil {
		return err
	}
	token, err := auth.Sign(claims, t.Secret)
	if err != nil {
		return err
	}
	h.Set("Authorization", token)

	if len(t.standardKey) > 0 {
		at := strconv.FormatInt(now.Unix(), 10)
		mac := hmac.New(sha256.New, t.standardKey)
		mac.Write([]byte(d.id + "." + at + "."))
		mac.Write(d.body)
		h.Set("Webhook-Id", d.id)
		h.Set("Webhook-Timestamp", at)
		h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return nil
}
