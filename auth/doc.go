// Package auth says who somebody is and what they may do.
//
// A [Verifier] turns a token into a [Grant] and signs refreshed tokens; a
// [Format], one package each below this one, knows the claims of one ecosystem.
// [Resolve] is the one function that computes a [Permission], from layers that
// each state what they allow and deny; [Explain] names the layer that decided.
//
// # What a token is believed
//
// Nothing before its signature holds: the issuer it names, or without one the
// key id in its header, or else the domain it names, only looks keys up, and the
// configuration of the one that has signed fixes project, format and algorithm. A
// key is found only in the way its format names keys, so that no token passes for
// one of another format; an issuer or a key id that is nobody's says nothing. After
// that, everything but one thing: an issue time in the future counts as none, since
// believing it would put the token behind the reach of every revocation.
//
// One token has one spelling, so that it can be revoked by its hash, and one
// meaning: a claim that is read and comes twice is refused, in whatever case where
// case does not tell claims apart, and so is a header that has to be read for the
// key and says something twice.
package auth
