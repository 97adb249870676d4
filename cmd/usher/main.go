// Usher is a realtime session server: people join rooms over a WebSocket with
// a signed token, and each may do exactly what the token, and the application
// since, allows.
//
//	usher serve --dev                 a server to try things with
//	usher serve --config usher.yaml   a server for everybody
//	usher token create …              a token to join with
//	usher join …                      a room in the terminal
//	usher room list …                 which rooms there are
//	usher participant list …          who is in a room, and what they may do
//	usher revoke …                    tokens that let nobody in any more
//	usher loadtest …                  how many people a server holds
//
// Every command explains itself with --help. The exit code is 0 after success
// or a clean stop, 1 after a failure and 2 when the command line is wrong.
// What a command was asked for goes to standard output, everything else to
// standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // as long as the process
		<-signals // asks for a clean stop
		stop()
		for wish := time.After(oneWish); ; {
			select {
			case <-signals:
				if wish == nil { // has lost its patience
					os.Exit(exitFailure)
				}
			case <-wish:
				wish = nil
			}
		}
	}()
	os.Exit(run(ctx, os.Args[1:], &streams{os.Stdin, os.Stdout, os.Stderr}))
}

// oneWish is how long after a signal another one is the same wish: it can
// arrive twice, as a signal to the process and as one to its group. timeout(1)
// sends both.
const oneWish = 200 * time.Millisecond

// streams is where a command reads and writes.
type streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// commands is the command line.
type commands struct {
	Serve       serveCmd       `cmd:"" help:"Run the server."`
	Token       tokenCmd       `cmd:"" help:"Make, check and explain tokens."`
	Join        joinCmd        `cmd:"" help:"Join a room from the terminal."`
	Room        roomCmd        `cmd:"" help:"See and change rooms through a server's API."`
	Participant participantCmd `cmd:"" help:"See and change the participants of a room through a server's API."`
	Revoke      revokeCmd      `cmd:"" help:"Refuse tokens through a server's API, and put out who came with one."`
	Revocation  revocationCmd  `cmd:"" help:"List and lift what was revoked."`
	Store       storeCmd       `cmd:"" help:"Check, repair and export the durable state of a server that is stopped."`
	Loadtest    loadtestCmd    `cmd:"" help:"Measure how many people a server holds, and what happens when they all come at once."`

	Help    helpFlag    `short:"h" help:"Explain the command."`
	Version versionFlag `help:"Print the version."`
}

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run executes a command line and returns the exit code. It is main without
// the process: it ends when ctx does, and leaves nothing running.
func run(ctx context.Context, args []string, std *streams) int {
	err := execute(ctx, args, std)
	var failed *exitError
	switch {
	case err == nil, errors.Is(err, errHelped):
		return exitOK
	case errors.As(err, &failed):
		return failed.code
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(std.Err, "usher: %s\n", strings.TrimSuffix(line, "\n"))
	}
	var hinted *hintError
	hint := wayHint(err)
	if hint == "" && errors.As(err, &hinted) {
		hint = hinted.hint
	}
	if hint != "" {
		fmt.Fprintf(std.Err, "usher: hint: %s\n", hint)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

func execute(ctx context.Context, args []string, std *streams) error {
	var cmds commands
	parser, err := kong.New(&cmds,
		kong.Name("usher"),
		kong.Description("A realtime session server: rooms, permissions, tokens."),
		kong.Writers(std.Out, std.Err),
		kong.NoDefaultHelp(), // it would end the process
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		if errors.Is(err, errHelped) {
			return err
		}
		return &usageError{withHint(err, "%s", helpFor(err))}
	}
	return kctx.Run()
}

// helpFor names the help of the command that err is about.
func helpFor(err error) string {
	command := ""
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if words := strings.Fields(parse.Context.Command()); len(words) > 0 {
			command = " " + words[0]
			if len(words) > 1 && !strings.HasPrefix(words[1], "<") {
				command += " " + words[1]
			}
		}
	}
	return "usher" + command + " --help explains it"
}

// errHelped ends a command line that only asked for an explanation.
var errHelped = errors.New("helped")

type helpFlag bool

func (helpFlag) IgnoreDefault() {}

// BeforeReset prints the help before anything that is missing is complained of.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return errHelped
}

type versionFlag bool

func (versionFlag) IgnoreDefault() {}

func (versionFlag) BeforeReset(std *streams) error {
	fmt.Fprintln(std.Out, "usher", version())
	return errHelped
}

// version is what the build knows about itself: the module's version, else the
// commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}

// A usageError is a command line that makes no sense; the exit code is 2.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// A hintError is an error and what to do about it, printed on a line of its own.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

func withHint(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}

// An exitError ends the process with code and says nothing: what there was to
// say has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }
