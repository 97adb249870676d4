package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"usher/room/store"
)

// storeCmd looks after the durable state of a server that is stopped.
type storeCmd struct {
	Check  storeCheckCmd  `cmd:"" help:"Read all of the store and say what is wrong with it."`
	Repair storeRepairCmd `cmd:"" help:"Make a damaged store usable again with what of it is whole."`
	Export storeExportCmd `cmd:"" help:"Print the records, each as a line of JSON."`
}

// storeFlags is which store.
type storeFlags struct {
	Data string `required:"" type:"path" placeholder:"DIR" help:"The server's data directory."`
}

type storeCheckCmd struct{ storeFlags }

// Help is the long text of --help.
func (storeCheckCmd) Help() string {
	return `
Changes nothing. The exit code is 0 when the store is sound and 1 when it is damaged. The server must be stopped.
`
}

func (c *storeCheckCmd) Run(_ context.Context, std *streams) error {
	report, err := store.Check(c.Data)
	if err != nil {
		return err
	}
	printReport(std.Out, report)
	if !report.Sound() {
		return withHint(fmt.Errorf("%s is damaged", report.Path),
			"restore the directory from a backup, or keep what is whole with usher store repair --data %s", c.Data)
	}
	fmt.Fprintf(std.Out, "%s is sound\n", report.Path)
	return nil
}

type storeRepairCmd struct{ storeFlags }

// Help is the long text of --help.
func (storeRepairCmd) Help() string {
	return `
Writes a new file with every record that is whole, keeps the damaged one beside it, and says what is lost. A revocation that is lost lets its people in again. The exit code is 0 when the store can be used afterwards. Nothing is done to a store that is sound. The server must be stopped.
`
}

func (c *storeRepairCmd) Run(_ context.Context, std *streams) error {
	report, err := store.Repair(c.Data)
	if err != nil {
		return err
	}
	if report.Sound() {
		fmt.Fprintf(std.Out, "%s is sound: nothing to do\n", report.Path)
		return nil
	}
	printReport(std.Out, report)
	for _, note := range report.Notes {
		fmt.Fprintf(std.Out, "note: %s\n", note)
	}
	fmt.Fprintf(std.Out, "repaired %s\n", report.Path)
	if report.Damaged != "" {
		fmt.Fprintf(std.Out, "the damaged file is %s\n", report.Damaged)
	}
	return nil
}

type storeExportCmd struct{ storeFlags }

// Help is the long text of --help.
func (storeExportCmd) Help() string {
	return `
Each line has bucket, key, revision (of the change that wrote it) and value; secrets are left out. Of a damaged store what is whole is printed, and the exit code is 1. The server must be stopped.
`
}

func (c *storeExportCmd) Run(_ context.Context, std *streams) error {
	err := store.Export(c.Data, std.Out)
	if errors.Is(err, store.ErrDamaged) {
		return withHint(err, "usher store check --data %s says more", c.Data)
	}
	return err
}

// printReport prints what is wrong, and what is left of each bucket. Names of
// records are of the outside.
func printReport(w io.Writer, r store.Report) {
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "problem: %s\n", visible(problem))
	}
	for _, b := range r.Buckets {
		fmt.Fprintf(w, "%s: %d whole", b.Bucket, b.Whole)
		if len(b.Lost) > 0 {
			fmt.Fprintf(w, ", %d broken", len(b.Lost))
		}
		if b.Missing > 0 {
			fmt.Fprintf(w, ", %d missing", b.Missing)
		}
		fmt.Fprintln(w)
		for _, key := range b.Lost {
			fmt.Fprintf(w, "lost: %s %s\n", b.Bucket, visible(key))
		}
	}
}
