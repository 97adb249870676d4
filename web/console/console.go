// Package console serves a page for operators: the rooms of a project and who is
// in them, what each may do and why, revocations, webhooks that wait, and a
// workshop for tokens.
//
// The page calls the same server APIs as anybody else, with a token in a header,
// and can do nothing that its holder could not do with curl. Who signs in with an
// API key and its secret has the page sign a token for each call, good for a
// minute; the secret becomes a key of WebCrypto that cannot be read again, and a
// reload forgets it. No token is in an address, and nothing is stored.
//
// The page is static. What it shows of other people it shows as text, and its
// Content-Security-Policy takes the means to do otherwise from it: no inline
// script or style, no markup made of strings, no other server, no frame around it.
package console

import (
	"embed"
	"io/fs"
	"net/http"
	"path"

	assets "usher/web/static"
)

//go:embed static
var static embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Address is where the page is. Its files are below.
const Address = "/console"

// Handler serves the page at [Address], and its files below.
func Handler() http.Handler {
	mux := http.NewServeMux()
	files, err := fs.ReadDir(static, "static")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, f := range files {
		content, err := static.ReadFile(path.Join("static", f.Name()))
		if err != nil {
			panic(err)
		}
		address := Address + "/" + f.Name()
		if f.Name() == "index.html" {
			address = Address
		}
		mux.Handle(address, assets.File(f.Name(), content, policy))
	}
	return mux
}
