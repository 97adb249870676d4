package liveblocks

import (
	"crypto/rand"
	"crypto/sha256"
	"time"

	"usher/auth"
)

// PublicLayer is the layer that a public key states.
const PublicLayer = "public key"

// PublicGrant returns what the holder of a project's public key is granted: to
// enter every room of the default organization as a person without an id, who
// may read and write, and to make those that are missing, unless f is of
// [Config].ExistingOnly. Every call makes another person. There are no claims, so the grant cannot be refreshed. For
// revocations the public key counts as the key that has signed. f is of [New].
func PublicGrant(f auth.Format, project, publicKey string) *auth.Grant {
	format := f.(*format)
	identity := auth.AnonymousPrefix + rand.Text()
	sources := []source{{part: PublicLayer, states: state([]string{spelled[base][write]})}}
	return &auth.Grant{
		Format:       f,
		Project:      project,
		KeyID:        publicKey,
		TokenHash:    sha256.Sum256([]byte(identity)), // so that revocations tell people apart
		Issued:       time.Unix(0, 0),                 // it says no time, so that revocations of the key and of rooms hold
		Identity:     identity,
		Kind:         auth.Standard,
		Organization: auth.DefaultOrganization,
		Join:         true,
		Roams:        true,
		CreateListed: !format.existingOnly,
		Base:         format.layers(decide(sources, true), sources),
	}
}
